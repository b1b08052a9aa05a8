# SPDX-License-Identifier: Apache-2.0
"""What the suites ask inside of a VM, asked on this host from a stand-in for the kubelet."""

from __future__ import annotations

import contextlib
import http.server
import importlib
import json
import os
import shlex
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from testinfra.host import Host

from goldsmith.core import wait

guest = importlib.import_module("goldsmith.verify.suites.guest")
WEB = ("default", "web")

pytestmark = pytest.mark.programs("python3")


class Here:
    """A host that is this one; what it left running ends with it."""

    def __init__(self) -> None:
        self._started: list[int] = []

    def check_output(self, command: str, *words: str) -> str:
        text = command % tuple(shlex.quote(word) for word in words)
        with subprocess.Popen(
            ["/bin/sh", "-c", text], stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            self._started.append(process.pid)
            output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        return output

    def end(self) -> None:
        for pid in self._started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(guest, "_ASKING", str(tmp_path / "asking"))
    found = Here()
    yield cast(Host, found)
    found.end()


def pod(name: str, *, ready: bool, phase: str = "Running", namespace: str = "default") -> dict[str, Any]:
    return {
        "metadata": {"name": f"{name}-golden", "namespace": namespace},
        "spec": {"nodeName": "golden"},
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": str(ready)}]},
    }


@pytest.fixture
def kubelet() -> Iterator[Callable[..., int]]:
    """kubelet(ANSWER, ...) answers each question with the next of these, the last one for ever; its port."""
    servers = []

    def serve(*answers: object) -> int:
        left = list(answers)

        class Kubelet(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = left.pop(0) if len(left) > 1 else left[0]
                self.send_response(200 if isinstance(answer, list) else 503)
                self.end_headers()
                self.wfile.write(
                    json.dumps({"items": answer}).encode() if isinstance(answer, list) else b"no"
                )

            def log_message(self, format: str, *args: object) -> None:
                """Log nothing."""

        server = http.server.HTTPServer(("127.0.0.1", 0), Kubelet)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return server.server_port

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def ready(port: int, *keys: tuple[str, str], timeout_s: float = 20) -> list[str]:
    found = guest.wait_until_ready(cast(Host, Here()), list(keys), timeout_s, port=port)
    return [each["metadata"]["name"] for each in found]


def test_pods_are_waited_for_until_all_are_ready(kubelet: Callable[..., int]) -> None:
    other = pod("job", ready=False, phase="Succeeded", namespace="batch")
    port = kubelet("busy", [], [pod("web", ready=False), other], [pod("web", ready=True), other])

    assert ready(port, WEB, ("batch", "job")) == ["web-golden", "job-golden"]


def test_after_the_deadline_those_that_are_ready_are_told(kubelet: Callable[..., int]) -> None:
    port = kubelet([pod("web", ready=True), pod("slow", ready=False)])

    assert ready(port, WEB, ("default", "slow"), ("default", "gone"), timeout_s=0) == ["web-golden"]


def test_a_kubelet_that_does_not_listen_is_asked_until_the_deadline() -> None:
    assert ready(1, WEB, timeout_s=0) == []


def test_questions_have_status_and_body(here: Host, kubelet: Callable[..., int]) -> None:
    port = kubelet("busy", [])

    assert guest.kubelet_get(here, "/healthz", port=port) == {"status": 503, "body": "no"}
    assert guest.kubelet_get(here, "/pods", port=port) == {"status": 200, "body": '{"items": []}'}


def test_a_question_that_nobody_answers_fails_and_the_next_one_is_asked(
    here: Host, kubelet: Callable[..., int]
) -> None:
    with pytest.raises(AssertionError, match="nobody answers GET /pods at port 1: ConnectionRefused"):
        guest.kubelet_get(here, "/pods", port=1)

    assert guest.kubelet_get(here, "/healthz", port=kubelet("busy"))["status"] == 503


@pytest.fixture
def hung_up() -> Iterator[int]:
    """The port of a server that closes each connection at once."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def close_all() -> None:
            with contextlib.suppress(OSError):
                while True:
                    listening.accept()[0].close()

        thread = threading.Thread(target=close_all, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_an_answer_that_is_empty_is_none_and_the_next_question_is_asked(
    here: Host, kubelet: Callable[..., int], hung_up: int
) -> None:
    with pytest.raises(AssertionError, match="nobody answers"):
        guest.kubelet_get(here, "/pods", port=hung_up)

    assert guest.kubelet_get(here, "/healthz", port=kubelet("busy"))["status"] == 503
    assert ready(hung_up, WEB, timeout_s=0) == []


def test_an_asker_that_was_ended_is_started_again(
    here: Host, kubelet: Callable[..., int], tmp_path: Path
) -> None:
    port = kubelet("busy")
    guest.kubelet_get(here, "/healthz", port=port)
    os.kill(int((tmp_path / "asking/pid").read_text()), signal.SIGKILL)
    wait.wait_until(lambda: not is_running(tmp_path / "asking/pid"), timeout_s=10)

    assert guest.kubelet_get(here, "/healthz", port=port)["status"] == 503


def is_running(pid: Path) -> bool:
    try:
        os.kill(int(pid.read_text()), 0)
    except ProcessLookupError:
        return False
    return True


def container(name: str, state: str = "running") -> dict[str, Any]:
    return {"containerID": f"containerd://{name}", "state": {state: {}}}


def test_process_1_of_a_container_is_the_first_of_its_control_group(
    here: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest, "_CGROUPS", str(tmp_path))
    for folder, pids in {
        "kubepods/pod1/cri-c0ffee.scope": "1010\n998\n", "kubepods/pod1/cri-c0ffee.scope/below": "2000\n",
        "kubepods/pod1/cri-dead.scope": "3\n", "system": "1\n",
    }.items():  # fmt: skip
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "cgroup.procs").write_text(pids)
    runs = {"status": {"containerStatuses": [container("dead", "terminated"), container("c0ffee")]}}
    gone = {"status": {"containerStatuses": [container("gone")]}}

    assert guest.process_of(here, runs) == "998"
    with pytest.raises(AssertionError, match="no process runs in container gone"):
        guest.process_of(here, gone)


def test_images_have_their_digest_and_whether_they_are_pinned() -> None:
    class Containerd:
        def check_output(self, command: str, *words: str) -> str:
            assert command % words == "ctr -n moby images list"
            pinned = "io.cri-containerd.image=managed,io.cri-containerd.pinned=pinned"
            return (
                f"REF TYPE DIGEST SIZE PLATFORMS LABELS\na:1 t sha256:1 1 - {pinned}\nb:1 t sha256:2 1 - -\n"
            )

    assert guest.images(cast(Host, Containerd()), "moby") == {
        "a:1": guest.StoredImage("sha256:1", pinned=True), "b:1": guest.StoredImage("sha256:2", pinned=False)
    }  # fmt: skip
