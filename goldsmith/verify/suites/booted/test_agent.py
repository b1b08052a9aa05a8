# SPDX-License-Identifier: Apache-2.0
"""Heat's agent is inactive without metadata, and passes it to a hook; its hooks can be called by hand."""

from __future__ import annotations

import json

import local_metadata
import pytest
from guest import Key, wait_for
from testinfra.host import Host

from goldsmith.verify.expectations import Expectations

HOOK = "/usr/libexec/heat-config/hooks/kubelet"

of_files = pytest.mark.once("each call starts the programs again")


@pytest.mark.needs("heat-agent")
@pytest.mark.once("the metadata that it gets below starts it with the machine")
def test_agent_is_enabled_and_inactive_without_heat(host: Host) -> None:
    assert host.check_output("systemctl is-enabled os-collect-config") == "enabled"
    shown = host.check_output("systemctl show os-collect-config --property=ActiveState,ConditionResult")
    assert set(shown.split()) == {"ActiveState=inactive", "ConditionResult=no"}


@pytest.fixture(scope="module")
def metadata(host: Host, settled: list[Key]) -> None:
    """The agent gets it when the spec's pods are up, which are timed; it works while other tests run."""
    local_metadata.give(host)


@pytest.mark.needs("heat-agent")
@pytest.mark.once("rebooted/test_agent.py asks what the agent does then")
def test_metadata_starts_the_agent(host: Host, metadata: None) -> None:
    show = "systemctl show os-collect-config --property=ConditionResult"
    assert wait_for(lambda: host.check_output(show) == "ConditionResult=yes", 60)


@pytest.mark.late
@pytest.mark.needs("heat-agent")
@pytest.mark.once("rebooted/test_agent.py asks what the agent does then")
def test_metadata_reaches_a_hook_which_runs_once(host: Host, expected: Expectations, metadata: None) -> None:
    ran = wait_for(lambda: "Completed phase configure" in local_metadata.log(host), 60 * expected.slowness)

    log = local_metadata.log(host)
    assert ran, log
    assert local_metadata.trace(host) == "once", log


@of_files
@pytest.mark.needs("heat-agent")
def test_cfn_init_applies_a_servers_metadata(host: Host) -> None:
    config = {
        "groups": {"greeters": {}},
        "users": {"greeter": {"groups": ["greeters"]}},
        "files": {"/run/greeting": {"content": "hello\n", "owner": "greeter", "mode": "000600"}},
        "commands": {"1": {"command": ["cat", "/run/greeting"]}},
        "services": {"systemd": {"systemd-timesyncd": {"ensureRunning": "true"}}},
    }
    metadata = json.dumps({"AWS::CloudFormation::Init": {"config": config}})

    output = host.check_output("printf %s %s > /run/init && cfn-init --file /run/init", "%s", metadata)

    assert output.splitlines()[-3:] == [
        "cfn-init: command 1", "hello", "cfn-init: service systemd-timesyncd: start",
    ]  # fmt: skip
    assert host.file("/run/greeting").user == "greeter"
    assert "greeters" in host.user("greeter").groups


@of_files
@pytest.mark.needs("cfn-init-hook")
def test_the_other_tools_of_user_data_start_and_say_what_is_missing(host: Host) -> None:
    folder = "/opt/aws/bin"
    signal = host.run(f"{folder}/cfn-signal -e 0 http://127.0.0.1:9/v1/waitcondition/x?Signature=secret")
    shown = host.run(f"{folder}/cfn-get-metadata -s stack -r server")
    polled = host.run(f"{folder}/cfn-hup -f")

    assert (signal.rc, shown.rc, polled.rc) == (1, 1, 2)
    assert "was not delivered: ConnectionError: Connection refused" in signal.stderr
    assert "/var/lib/heat-cfntools/cfn-init-data: No such file or directory" in shown.stderr
    assert "/etc/cfn/cfn-hup.conf: No such file or directory" in polled.stderr


@of_files
@pytest.mark.needs("kubelet-hook")
def test_hook_refuses_what_is_not_embedded_and_leaves_the_pods_alone(host: Host) -> None:
    before = host.check_output("ls -i /etc/kubernetes/manifests")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "stranger"},
        "spec": {"containers": [{"name": "main", "image": "goldsmith.invalid/stranger:1", "prots": []}]},
    }
    asked = json.dumps({"id": "by-hand", "inputs": [], "config": [pod]})

    answer = json.loads(host.check_output("printf %s %s | " + HOOK, "%s", asked))

    assert answer["deploy_status_code"] == 1
    assert "'prots' was unexpected" in answer["deploy_stderr"]
    assert host.check_output("ls -i /etc/kubernetes/manifests") == before
