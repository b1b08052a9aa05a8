# SPDX-License-Identifier: Apache-2.0
"""Small helpers for suites that look into a booted VM through testinfra's host."""

from __future__ import annotations

import datetime
import inspect
import json
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from testinfra.host import Host

from goldsmith.verify.expectations import Expectations

T = TypeVar("T")
SERVED_PORT = 8080  # of the suites' own servers
# an expression of theirs: a socket that listens for IPv4, and for IPv6 where the kernel has it
LISTENING = (
    f'socket.create_server(("", {SERVED_PORT}), dualstack_ipv6=socket.has_dualstack_ipv6(),'
    " family=socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET)"
)
SERVER = "server"  # the pod of the suites with one
OF_SUITES = "goldsmith-verify"  # namespace of the pods that the suites bring themselves
_COMMAND_MAX = 16_000  # of one that gets another file: the limit is 128 KiB, and quotes are escaped
Key = tuple[str, str]  # namespace and name of a pod
Pod = dict[str, Any]  # as the kubelet reports it, or as its manifest has it

# Nothing but what it needs is imported: on a host without KVM, http.client alone takes a second.
_ASK = """
import json, socket, ssl, sys, time
def ask(port, path, with_certificate):
    peer = socket.create_connection(("127.0.0.1", port), 20)
    if port == 10250:
        context = ssl.create_default_context(cafile="/etc/kubernetes/pki/ca.crt")
        if with_certificate:
            context.load_cert_chain("/etc/kubernetes/pki/client.crt", "/etc/kubernetes/pki/client.key")
        peer = context.wrap_socket(peer, server_hostname="localhost")
    with peer:
        peer.sendall(f"GET {path} HTTP/1.0\\r\\n\\r\\n".encode())
        answer = b"".join(iter(lambda: peer.recv(65536), b"")).decode(errors="replace")
    head, _, body = answer.partition("\\r\\n\\r\\n")
    if not head:
        raise ValueError("no answer")
    return int(head.split()[1]), body
"""
# Answers the questions that come through one FIFO in the other: to start a Python costs more than to ask.
_ASKER = f"""{_ASK}
import os
with open("pid", "w") as pid:
    print(os.getpid(), file=pid)
while True:
    with open("question") as asked:
        port, path, with_certificate = json.load(asked)
    try:
        status, body = ask(port, path, with_certificate)
        answer = dict(status=status, body=body)
    except Exception as e:  # nobody listens, or speaks HTTP
        answer = dict(error=repr(e))
    try:
        with open("answer", "w") as answers:
            json.dump(answer, answers)
    except BrokenPipeError:  # who asked has given up
        pass
"""
_ASKING = "/run/goldsmith-verify"  # the FIFOs
_CGROUPS = "/sys/fs/cgroup"
_ASK_DEADLINE_S = 120  # also for an asker that ends meanwhile: nobody else opens its FIFOs
_KUBELET = 10250


def kubelet_get(host: Host, path: str, *, port: int = _KUBELET, certificate: bool = True) -> dict[str, Any]:
    """Status and body of a GET on the kubelet's API, asked from inside the VM. Fails where none answers."""
    make = f"rm -rf {_ASKING} && mkdir -m 700 {_ASKING} && mkfifo {_ASKING}/question {_ASKING}/answer"
    serve = f"(cd {_ASKING} && exec python3 -IS -c %s > /dev/null 2>&1 < /dev/null &)"
    runs = f'kill -0 "$(cat {_ASKING}/pid 2> /dev/null)" 2> /dev/null'
    start = f"{runs} || {{ {make} && {serve}; }}"
    ask = f'until cd {_ASKING} && [ -s pid ]; do sleep 0.1; done; printf %%s "$1" > question && cat answer'
    command = f"{start}; timeout {_ASK_DEADLINE_S} sh -c '{ask}' sh %s"
    answer = dict(json.loads(host.check_output(command, _ASKER, json.dumps([port, path, certificate]))))
    assert "error" not in answer, f"nobody answers GET {path} at port {port}: {answer['error']}"
    return answer


def pods(host: Host) -> list[Pod]:
    """The pods as the kubelet reports them; a static pod's name ends in its node's name."""
    answer = kubelet_get(host, "/pods")
    assert answer["status"] == 200, answer
    return list(json.loads(answer["body"])["items"] or [])


def find_pod(host: Host, name: str, namespace: str = "default") -> Pod | None:
    """The pod that came from the manifest of this name and namespace, or None."""
    return next((pod for pod in pods(host) if _source(pod) == (namespace, name)), None)


def the_pod(host: Host, name: str, namespace: str = "default") -> Pod:
    """The same, where it has to be there."""
    found = find_pod(host, name, namespace)
    assert found is not None, f"no pod {name} in the namespace {namespace}"
    return found


def key_of(manifest: Mapping[str, Any]) -> Key:
    """Namespace and name of a pod's manifest."""
    return manifest["metadata"].get("namespace") or "default", manifest["metadata"]["name"]


def _source(pod: Pod) -> Key:
    """Namespace and name of the manifest that a static pod came from."""
    name, node = pod["metadata"]["name"], pod["spec"].get("nodeName", "")
    return pod["metadata"].get("namespace", "default"), name.removesuffix(f"-{node}")


def is_ready(pod: Pod) -> bool:
    """Running, and its readiness probes answer; or ended with success, where its restartPolicy lets it."""
    conditions = pod["status"].get("conditions", [])
    return pod["status"]["phase"] == "Succeeded" or (
        pod["status"]["phase"] == "Running"
        and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    )


_WAIT = f"""from __future__ import annotations
{_ASK}
{inspect.getsource(_source)}
{inspect.getsource(is_ready)}
keys = [tuple(key) for key in json.loads(sys.argv[2])]
deadline = time.monotonic() + float(sys.argv[3])
while True:
    try:
        items = json.loads(ask(int(sys.argv[1]), "/pods", True)[1])["items"] or []
    except (OSError, ValueError):  # the kubelet does not listen, or refuses
        items = []
    ready = {{_source(pod): pod for pod in items if is_ready(pod)}}
    if ready.keys() >= set(keys) or time.monotonic() > deadline:
        break
    time.sleep(1)
print(json.dumps([ready.get(key) for key in keys]))
"""


def wait_until_ready(host: Host, keys: Sequence[Key], timeout_s: float, *, port: int = _KUBELET) -> list[Pod]:
    """These pods once all are ready, or those that are after timeout_s. The VM itself looks each second."""
    words = (_WAIT, str(port), json.dumps(keys), str(timeout_s))
    found = json.loads(host.check_output("python3 -IS -c %s %s %s %s", *words))
    return [pod for pod in found if pod is not None]


def is_running(pod: Pod) -> bool:
    """One of its containers runs."""
    statuses = pod["status"].get("containerStatuses") or []
    return any("running" in status["state"] for status in statuses)


def in_network_of(host: Host, pod: Pod) -> str:
    """The beginning of a command that runs in a pod's network."""
    return f"nsenter --net --target {process_of(host, pod)}"


def process_of(host: Host, pod: Pod) -> str:
    """PID of the first process in a pod's first container that runs: its process 1."""
    name = next(
        status["containerID"].rpartition("/")[2]
        for status in pod["status"]["containerStatuses"]
        if "running" in status["state"]
    )
    of_container = f"-path '*{name}*' -name cgroup.procs"  # with what it may have made below
    pids: list[str] = host.check_output(f"find {_CGROUPS} {of_container} -exec cat {{}} +").split()
    assert pids, f"no process runs in container {name}"
    return min(pids, key=int)


def wait_for(probe: Callable[[], T], timeout_s: float, *, every_s: float = 2.0) -> T:
    """What probe() returned when it was first true, or its last answer after timeout_s."""
    deadline = time.monotonic() + timeout_s
    while True:
        result = probe()
        if result or time.monotonic() > deadline:
            return result
        time.sleep(every_s)


def put(host: Host, texts: Mapping[str, str]) -> None:
    """Write files of the VM, given as path -> text: few commands, none of them longer than Linux takes."""
    waiting: list[tuple[str, str]] = []
    for number, (path, text) in enumerate(texts.items(), 1):
        waiting.append((text, path))
        if number == len(texts) or sum(len(text) for text, _ in waiting) > _COMMAND_MAX:
            command = " && ".join(["printf %%s %s > %s"] * len(waiting))
            host.check_output(command, *(word for pair in waiting for word in pair))
            waiting.clear()


def said_at_host_port(expected: Expectations) -> bytes:
    """What the suites' server sends first to a client outside of the VM. Raises OSError."""
    assert expected.host_port_at is not None, "no port of this host leads to the VM's"
    with socket.create_connection(("127.0.0.1", expected.host_port_at), 20 * expected.slowness) as peer:
        return peer.recv(6)


def ready_since(pod: Pod) -> float:
    """When the pod became ready for the last time, or ended, in seconds since 1970."""
    condition = next(c for c in pod["status"]["conditions"] if c["type"] == "Ready")
    return datetime.datetime.fromisoformat(condition["lastTransitionTime"]).timestamp()


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image in containerd's store. pinned: the kubelet's garbage collection leaves it alone."""

    digest: str
    pinned: bool


Stored = Callable[[str], Mapping[str, StoredImage]]  # the fixture stored: namespace -> its images by name


def images(host: Host, namespace: str = "k8s.io") -> dict[str, StoredImage]:
    """name -> image in a namespace of containerd's store: the kubelet's, or Docker's, moby."""
    rows = host.check_output("ctr -n %s images list", namespace).splitlines()[1:]
    pin = "io.cri-containerd.pinned=pinned"
    return {row.split()[0]: StoredImage(row.split()[2], pinned=pin in row) for row in rows}
