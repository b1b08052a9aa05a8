# SPDX-License-Identifier: Apache-2.0
"""The cases of heat-failures: each function causes one failure around a server and checks its consequence."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from goldsmith.core import openstack
from goldsmith.devcloud import instance, lifecycle
from goldsmith.errors import CloudError
from goldsmith.heat import checks, inputs, outputs
from goldsmith.heat.checks import require, require_complete, require_failed
from tests.soak import guest_scripts
from tests.soak.heat_server import TEMPLATE, Server
from tests.support.stack_trials import BOOT_S

_WEIGHT, _WEIGHTS = 120_000, 9  # characters, more than 1 MiB together
_ABOVE_LIMIT = 1_100_000  # characters; Heat takes requests of 1 MiB
_PODS = 30
_FULL_S = 45
_OUTAGE_S = 60
_REJECTED = "soak-rejected"


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """title: in the report; restarts: the case ends the containers that ran before it."""

    title: str
    run: Callable[[Server], None]
    restarts: bool = False


def wrong_image(server: Server) -> None:
    with checks.rejected("image"):
        server.cloud.stacks.create(
            _REJECTED, inputs.template(TEMPLATE), server.parameters.next(image="no such"), timeout_s=BOOT_S
        )
    require(not server.cloud.leftovers(_REJECTED), "the rejected stack left something behind")


def invalid_pod(server: Server) -> None:
    require_failed(server.update_with(guest_scripts.pod("bad", command="text")), "pod bad: spec.containers")


def image_not_embedded(server: Server) -> None:
    pod = guest_scripts.pod("missing", image="goldsmith.local/nobody:1")
    require_failed(server.update_with(pod), "is not embedded")


def container_exits(server: Server) -> None:
    pod = guest_scripts.pod("ends", command=guest_scripts.CRASH, restartPolicy="Never")
    server.require_fails_with_log(pod, "exit code 1")


def container_crashes(server: Server) -> None:
    server.require_fails_with_log(guest_scripts.pod("crashes", command=guest_scripts.CRASH), "crashed")


def never_ready(server: Server) -> None:
    probe = {"tcpSocket": {"port": 1}, "periodSeconds": 1}
    stack = server.update_with(guest_scripts.pod("unready", readinessProbe=probe), pods_deadline=25)
    require_failed(stack, "pod unready: container main")


def pod_name_taken(server: Server) -> None:
    stack = server.update(others=[guest_scripts.pod(server.pods[0]["metadata"]["name"])])
    failure = outputs.of(stack).others_failure
    require(stack.status == "UPDATE_FAILED" and "is taken by" in failure, f"{stack.status}: {failure}")


def heat_down_during_script(server: Server) -> None:
    server.begin(script=guest_scripts.SLOW.format(20))
    server.wait_until_begun()
    with server.heat_ports_closed(8):
        pass
    server.require_answer()


def heat_down_at_signal(server: Server) -> None:
    server.begin(script=guest_scripts.SLOW.format(6))
    server.wait_until_begun()
    with server.heat_ports_closed(_OUTAGE_S):
        require(server.site_answers(), "the pods do not answer while Heat's ports are closed")
    server.require_answer()


def heat_stopped(server: Server) -> None:
    server.begin(script=guest_scripts.SLOW.format(10))
    deployment = str(server.stack.outputs["script"])
    server.wait_until_begun()
    lifecycle.service("stop", "heat", cloud=server.cloud.name)
    time.sleep(_OUTAGE_S)
    is_up = server.site_answers()
    lifecycle.service("start", "heat", cloud=server.cloud.name)
    require(is_up, "the pods do not answer while Heat is stopped")
    expected = {"status": "COMPLETE", "result": str(server.parameters.count)}
    server.wait_for(
        lambda: expected.items() <= server.cloud.stacks.deployment(deployment).items(),
        "answer of the deployment to the restarted Heat",
    )


def wrong_credentials(server: Server) -> None:
    name = server.cloud.name
    heat = server.cloud.stacks.metadata(server.stack, "server")["os-collect-config"]["heat"]
    keystone = openstack.connect(
        f"{name}-admin", clouds_yaml=instance.named(name).clouds_yaml, error=CloudError
    ).identity
    keystone.update_user(heat["user_id"], password="another")
    try:
        server.begin(script=guest_scripts.SLOW.format(0))
        time.sleep(30)
        status = server.status().status
        require(status == "UPDATE_IN_PROGRESS", f"with wrong credentials the update is {status}")
        require(server.site_answers(), "the pods do not answer while the credentials are wrong")
    finally:
        keystone.update_user(heat["user_id"], password=heat["password"])
    server.require_answer()


def clock_wrong(server: Server) -> None:
    try:
        require_complete(server.update(script="#!/bin/sh\ndate -s '1 day'\n"), "UPDATE")
        require_complete(server.update_with(guest_scripts.pod("tomorrow")), "UPDATE")
    finally:
        back = server.update(script="#!/bin/sh\ndate -s '-1 day'\n")
    require_complete(back, "UPDATE")


def large_metadata(server: Server) -> None:
    require_complete(server.update(weight="x" * _WEIGHT, weights=_WEIGHTS), "UPDATE")


def config_above_limit(server: Server) -> None:
    before = server.status()
    with checks.rejected("limit", "exceeds"):
        server.begin(weight="x" * _ABOVE_LIMIT, weights=1)
    require(server.status() == before, "the rejected update changed the stack")


def many_pods(server: Server) -> None:
    more = [guest_scripts.pod(f"pod-{number}") for number in range(_PODS - len(server.pods))]
    stack = server.update_with(*more, pods_deadline=700)
    require_complete(stack, "UPDATE")
    checks.require_pods(stack, [*server.pods, *more])


def update_overtaken(server: Server) -> None:
    server.begin(script=guest_scripts.SLOW.format(20))
    server.wait_until_begun()
    server.begin(script=guest_scripts.SLOW.format(1))
    server.require_answer()


def server_rebooted(server: Server) -> None:
    server.begin(script=guest_scripts.COUNTED.format(name="rebooted", first="true"))
    server.wait_until_begun()
    server.cloud.servers.reboot(server.id, timeout_s=BOOT_S)
    server.require_answer("2")


def containerd_killed(server: Server) -> None:
    _kill(server, "containerd")


def kubelet_killed(server: Server) -> None:
    _kill(server, "kubelet")


def agent_killed(server: Server) -> None:
    kill = "systemctl kill --signal=KILL os-collect-config"
    server.begin(script=guest_scripts.COUNTED.format(name="killed", first=kill))
    server.require_answer("2")


def disk_full(server: Server) -> None:
    require_complete(server.update(script=guest_scripts.FILL.format(_FULL_S)), "UPDATE")
    stack = server.update_with(guest_scripts.pod("no-room"))
    if stack.status != "UPDATE_COMPLETE":
        require_failed(stack, "No space left")
    time.sleep(_FULL_S)


def files_damaged(server: Server) -> None:
    require_complete(server.update(script=guest_scripts.DAMAGE), "UPDATE")
    time.sleep(5)
    pod = guest_scripts.pod("after-all")
    require_complete(server.update_with(pod, script=guest_scripts.UNDO_DAMAGE), "UPDATE")


def stack_suspended(server: Server) -> None:
    stacks = server.cloud.stacks
    require_complete(stacks.act(server.stack, "SUSPEND", timeout_s=BOOT_S), "SUSPEND")
    require(not server.site_answers(), "the pods of a suspended stack answer")
    require_complete(stacks.act(server.stack, "RESUME", timeout_s=BOOT_S), "RESUME")


def _kill(server: Server, program: str) -> None:
    require_complete(server.update(script=f"#!/bin/sh\npkill -KILL -x {program}\n"), "UPDATE")
    require_complete(server.update_with(guest_scripts.pod(f"after-{program}")), "UPDATE")


# In the order in which they are tried.
CASES = (
    Case(title="The image does not exist.", run=wrong_image),
    Case(title="A pod violates the kubelet's schema: its command is no list.", run=invalid_pod),
    Case(title="A pod's image is not embedded in the server's image.", run=image_not_embedded),
    Case(title="A container exits with 1 and is not restarted.", run=container_exits),
    Case(title="A container exits with 1 at every start.", run=container_crashes),
    Case(title="A container never passes its readiness probe.", run=never_ready),
    Case(title="Two deployments use one pod name.", run=pod_name_taken),
    Case(title="Heat's ports are closed and opened while the script runs.", run=heat_down_during_script),
    Case(title="Heat's ports are closed for a minute, in which the script ends.", run=heat_down_at_signal),
    Case(title="Heat is stopped for a minute during a deployment; the pods keep running.", run=heat_stopped),
    Case(title="The server's password in Keystone is wrong for a while.", run=wrong_credentials),
    Case(title="The server's clock is a day ahead.", run=clock_wrong),
    Case(title="Several deployments have more than 1 MiB of metadata together.", run=large_metadata),
    Case(title="Heat rejects one config above its limit, and nothing changes.", run=config_above_limit),
    Case(title="One deployment has thirty pods.", run=many_pods),
    Case(title="An update is sent while another is in progress.", run=update_overtaken),
    Case(title="The server is rebooted during a deployment.", run=server_rebooted, restarts=True),
    Case(title="containerd is killed; the next pod still starts.", run=containerd_killed),
    Case(title="The kubelet is killed; the next pod still starts.", run=kubelet_killed),
    Case(title="The agent and the script that it runs are killed during a deployment.", run=agent_killed),
    Case(title="The disk is full for 45 s during an update, which completes or says so.", run=disk_full),
    Case(title="The agent's metadata is truncated, half a manifest lies about, the agent is killed.",
         run=files_damaged),
    Case(title="The stack is suspended, which ends its pods; then resumed.", run=stack_suspended,
         restarts=True),
)  # fmt: skip
