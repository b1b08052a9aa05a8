# SPDX-License-Identifier: Apache-2.0
"""Metadata from a file of the VM, for Heat's agent: its hook leaves a trace each time that it runs."""

from __future__ import annotations

import json

from testinfra.host import Host

_DATA = "/var/lib/os-collect-config/local-data"
_TRACE = "/var/lib/goldsmith-agent-was-here"


def give(host: Host) -> None:
    """Write the file and start the agent, which would start with the machine."""
    deployment = {
        "id": "local-1", "name": "local", "group": "script", "outputs": [],
        "config": f"#!/bin/sh\necho $word >> {_TRACE}\n",
        "inputs": [{"name": "word", "type": "String", "value": "once"}],
    }  # fmt: skip
    metadata = json.dumps({"deployments": [deployment]})
    host.check_output(f"mkdir -p {_DATA} && printf %s %s > {_DATA}/test", "%s", metadata)
    host.check_output("systemctl start --no-block os-collect-config")


def take_away(host: Host) -> None:
    """Stop the agent; leave nothing of the deployment but its trace."""
    host.check_output(f"systemctl stop os-collect-config; rm -r {_DATA} /var/lib/heat-config/deployed")


def trace(host: Host) -> str:
    """A line for each time that the hook ran."""
    return str(host.check_output(f"cat {_TRACE}"))


def log(host: Host) -> str:
    """What the agent has said since the machine started."""
    return str(host.check_output("journalctl -b -u os-collect-config -o cat --no-pager"))
