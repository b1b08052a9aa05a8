# SPDX-License-Identifier: Apache-2.0
"""Heat's agent stays inactive without Heat; its hooks can be called by hand."""

from __future__ import annotations

import json

import pytest
from testinfra.host import Host

HOOK = "/usr/libexec/heat-config/hooks/kubelet"


@pytest.mark.needs("heat-agent")
def test_agent_is_enabled_and_inactive_without_heat(host: Host) -> None:
    assert host.check_output("systemctl is-enabled os-collect-config") == "enabled"
    shown = host.check_output("systemctl show os-collect-config --property=ActiveState,ConditionResult")
    assert set(shown.split()) == {"ActiveState=inactive", "ConditionResult=no"}


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
