# SPDX-License-Identifier: Apache-2.0
"""Heat's agent passes metadata from a local file to a hook, once, without Heat and without network."""

from __future__ import annotations

import json

import pytest
from guest import wait_for
from testinfra.host import Host

from goldsmith.verify.expectations import Expectations

DATA = "/var/lib/os-collect-config/local-data"
TRACE = "/run/agent-was-here"

pytestmark = pytest.mark.needs("heat-agent")


def log_of(host: Host) -> str:
    return str(host.check_output("journalctl -b -u os-collect-config -o cat --no-pager"))


def test_metadata_reaches_a_hook_which_runs_once(host: Host, expected: Expectations) -> None:
    script = f"#!/bin/sh\necho $word >> {TRACE}\n"
    deployment = {
        "id": "local-1", "name": "local", "group": "script", "config": script, "outputs": [],
        "inputs": [{"name": "word", "type": "String", "value": "once"}],
    }  # fmt: skip
    host.check_output(
        f"mkdir -p {DATA} && printf %s %s > {DATA}/test", "%s", json.dumps({"deployments": [deployment]})
    )
    host.check_output("systemctl start os-collect-config")

    ran = wait_for(lambda: "Completed phase configure" in log_of(host), 60 * expected.slowness)
    host.check_output("systemctl restart os-collect-config")
    looked = "heat_local] Unavailable"  # a line of each look for metadata
    polled = wait_for(lambda: looked in log_of(host).rpartition("Started os-")[2], 60 * expected.slowness)

    log = log_of(host)
    host.check_output(f"systemctl stop os-collect-config; rm -r {DATA} /var/lib/heat-config/deployed")
    assert ran, log
    assert polled, log
    assert host.check_output(f"cat {TRACE}") == "once", log
