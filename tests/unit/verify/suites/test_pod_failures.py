# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

import pod_failures
import pytest
from testinfra.host import Host

KEY = ("default", "web")


class Guest:
    """A VM whose kubelet reports these pods and gives these logs by path."""

    def __init__(self, pods: list[dict[str, Any]], logs: Mapping[str, str]) -> None:
        self._pods, self._logs = pods, logs

    def check_output(self, _command: str, *words: str) -> str:
        _, path, _ = json.loads(words[-1])
        if path == "/pods":
            return json.dumps({"status": 200, "body": json.dumps({"items": self._pods})})
        body = self._logs.get(path)
        return json.dumps({"status": 404 if body is None else 200, "body": body or "no such container"})


def report(pods: list[dict[str, Any]], logs: Mapping[str, str] | None = None) -> str:
    return pod_failures.report(cast(Host, Guest(pods, logs or {})), [KEY])


def pod(
    state: dict[str, Any], *, container: Mapping[str, Any] | None = None, **status: Any
) -> dict[str, Any]:
    each = {"name": "main", "image": "localhost/web:1", **(container or {})}
    return {
        "metadata": {"name": "web-golden", "namespace": "default"},
        "spec": {"nodeName": "golden", "containers": [each]},
        "status": {
            "phase": "Pending",
            "containerStatuses": [{"name": "main", "image": "localhost/web:1", "state": state, **status}],
        },
    }


def test_ready_pods_need_no_report() -> None:
    ready = pod({"running": {}}, ready=True)
    ready["status"] |= {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}

    assert report([ready]) == ""


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            pod({"waiting": {"reason": "ErrImageNeverPull", "message": "Container image is not present"}}),
            "container main, image localhost/web:1, cannot start: "
            "ErrImageNeverPull - Container image is not present",
        ),
        (
            pod(
                {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
                lastState={"terminated": {"exitCode": 3, "reason": "Error"}}, restartCount=4,
            ),
            "container main ended with exit code 3 after 4 restarts: Error",
        ),
        (
            pod({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
            "container main ended with exit code 137: OOMKilled",
        ),
        (
            pod({"running": {}}, container={"readinessProbe": {"httpGet": {"port": 81}}}, started=True),
            'container main runs, but its readinessProbe {"httpGet": {"port": 81}} does not succeed',
        ),
        (
            pod({"running": {}}, container={"startupProbe": {"exec": {}}, "readinessProbe": {"exec": {}}}),
            'container main runs, but its startupProbe {"exec": {}} does not succeed',
        ),
    ],
)  # fmt: skip
def test_a_pod_that_is_not_ready_names_its_container_and_the_cause(
    found: dict[str, Any], message: str
) -> None:
    assert report([found]) == f"pod default/web: {message}"


def test_its_last_lines_are_shown() -> None:
    crashed = pod({"terminated": {"exitCode": 1}})
    path = f"/containerLogs/default/web-golden/main?tailLines={pod_failures.LOG_LINES}"

    shown = report([crashed], {path: "starting\nno such file: /etc/web.conf\n"})

    assert shown.splitlines()[1:] == [
        "  | last lines of main:", "  |   starting", "  |   no such file: /etc/web.conf",
    ]  # fmt: skip


def test_the_init_container_that_holds_up_the_others_is_named_alone() -> None:
    waits = pod({"waiting": {"reason": "PodInitializing"}})
    waits["spec"]["initContainers"] = [{"name": "first", "image": "localhost/init:1"}]
    waits["status"]["initContainerStatuses"] = [{"name": "first", "state": {"terminated": {"exitCode": 9}}}]

    assert report([waits]) == "pod default/web: container first ended with exit code 9"


def test_pods_without_containers_say_what_the_kubelet_says() -> None:
    rejected = pod({})
    rejected["status"] = {"phase": "Failed", "reason": "NodePorts", "message": "Predicate NodePorts failed"}

    assert report([rejected]) == (
        "pod default/web: it is Failed: NodePorts - Predicate NodePorts failed, and has no container yet"
    )
    assert report([]).startswith("pod default/web: the kubelet has not taken it up")
