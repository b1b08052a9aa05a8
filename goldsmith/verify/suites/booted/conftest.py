# SPDX-License-Identifier: Apache-2.0
"""Start the pods before the first test, so that they come up while other tests run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import testinfra
from guest import (
    LISTENING,
    OF_SUITES,
    SERVED_PORT,
    SERVER,
    Key,
    Pod,
    key_of,
    put,
    ready_since,
    the_pod,
    wait_until_ready,
)  # fmt: skip
from testinfra.host import Host

from goldsmith.verify.expectations import Expectations, spec_of

MANIFESTS = "/etc/kubernetes/manifests"
NEIGHBOUR = "neighbour"
# A program of the guest's Python, which containers of the suites get by a mount: no image need have one.
# As process 1 it ignores SIGTERM, as many programs do: rebooted/test_reboot.py asks what that means.
_SERVER = f"""
import socket
listening = {LISTENING}
while True:
    peer, _ = listening.accept()
    peer.sendall(b"served")
    peer.close()
"""


def _pod(name: str, containers: list[dict[str, Any]], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": OF_SUITES},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": containers, **spec},
    }


NOT_EMBEDDED = _pod(
    "not-embedded", [{"name": "main", "image": "not-embedded.invalid/image:1"}], hostNetwork=True
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that wait are late: for the spec's pods, then the suites' own; last of all the user's tests."""

    def turn(item: pytest.Item) -> tuple[bool, bool, bool, bool]:
        names = getattr(item, "fixturenames", ())
        is_late = item.get_closest_marker("late") is not None
        return Path(__file__).parent != item.path.parent, is_late, "server" in names, "settled" in names

    items.sort(key=turn)


@pytest.fixture(scope="session")
def guest(request: pytest.FixtureRequest) -> Host:
    """testinfra's host for the whole session; its own fixture `host` is one for each module."""
    options = request.config.option
    return testinfra.get_host(options.hosts, ssh_config=options.ssh_config, sudo=True)


@pytest.fixture(scope="session")
def containerd_config(guest: Host) -> str:
    """containerd's configuration, with what it includes and its defaults."""
    return str(guest.check_output("containerd config dump"))


@pytest.fixture(scope="session")
def handed_over_at(
    guest: Host, expected: Expectations, request: pytest.FixtureRequest
) -> Iterator[float | None]:
    """Give the kubelet all pods, the spec's first; the time of it, in seconds since 1970.

    Beside those of the spec: one that must not start, and the suites' own, which stay over the reboot.
    """
    if expected.info.kubelet is None:
        yield None
        return
    hand_over(guest, "spec", expected.info.verify.pods)
    hand_over(guest, "refused", [NOT_EMBEDDED])
    at = float(guest.check_output("date +%s"))
    if expected.phase != "rebooted":
        image = sandbox_image(request.getfixturevalue("containerd_config"))
        hand_over(guest, "suites", own_pods(guest, expected, image))
    yield at
    guest.check_output(f"rm {MANIFESTS}/refused-*.json")


@pytest.fixture(scope="session")
def settled(
    guest: Host,
    expected: Expectations,
    handed_over_at: float,
    record_testsuite_property: Callable[[str, object], None],
) -> list[Key]:
    """The spec's pods, once they are ready or their deadline is over."""
    keys = [key_of(manifest) for manifest in expected.info.verify.pods]
    deadline_s = expected.info.verify.pods_deadline_s * expected.slowness
    ready = wait_until_ready(guest, keys, deadline_s) if keys else []
    if keys and len(ready) == len(keys):
        took_s = max(ready_since(pod) for pod in ready) - handed_over_at
        record_testsuite_property("pods_ready_s", max(took_s, 0.0))
    return keys


@pytest.fixture(scope="session")
def server(guest: Host, expected: Expectations, settled: list[Key]) -> Pod:
    """The suites' own pod with a server on a host port, once it is ready. It stays: also over the reboot."""
    deadline_s = expected.info.verify.pods_deadline_s * expected.slowness
    wait_until_ready(guest, [(OF_SUITES, SERVER)], deadline_s)
    return the_pod(guest, SERVER, OF_SUITES)


@pytest.fixture(scope="session")
def neighbour(guest: Host, expected: Expectations, server: Pod) -> Pod:
    """Another pod in a network of its own: one of the spec if it has such a one, once it is ready."""
    key = neighbour_of(expected) or (OF_SUITES, NEIGHBOUR)
    deadline_s = expected.info.verify.pods_deadline_s * expected.slowness
    ready = wait_until_ready(guest, [key], deadline_s)
    return ready[0] if ready else the_pod(guest, key[1], key[0])


def neighbour_of(expected: Expectations) -> Key | None:
    """The first pod of the spec that is not in the host's network, and does not end by itself."""
    services = (pod for pod in expected.info.verify.pods if _is_bridged_service(spec_of(pod)))
    return next((key_of(pod) for pod in services), None)


def _is_bridged_service(spec: Mapping[str, Any]) -> bool:
    return not spec.get("hostNetwork") and spec.get("restartPolicy", "Always") == "Always"


def hand_over(guest: Host, prefix: str, pods: Sequence[Mapping[str, Any]]) -> None:
    """Give the kubelet pods; names of pods may be too long for files, or the same in two namespaces."""
    files = {f"{MANIFESTS}/{prefix}-{number}.json": json.dumps(pod) for number, pod in enumerate(pods)}
    if files:
        put(guest, files)


def sandbox_image(config: str) -> str:
    """The image of the pods' sandboxes in containerd's configuration: each image with a kubelet has it."""
    found = re.search(r"sandbox(?:_image)? = [\"'](.+?)[\"']", config)
    assert found is not None, "containerd has no image for sandboxes"
    return found[1]


def own_pods(guest: Host, expected: Expectations, image: str) -> list[dict[str, Any]]:
    """A server on a host port, and another pod beside it if the spec has none: each costs time to start."""
    waits = {"name": "main", "image": image, "imagePullPolicy": "Never"}
    folders = [folder for folder in ("/usr", "/lib", "/lib64") if guest.file(folder).exists]
    serves = {
        **waits,
        "command": ["/usr/bin/python3", "-IS", "-c", _SERVER],
        "volumeMounts": [{"name": f[1:], "mountPath": f, "readOnly": True} for f in folders],
    }
    volumes = [{"name": folder[1:], "hostPath": {"path": folder}} for folder in folders]
    port = {"containerPort": SERVED_PORT, "hostPort": expected.host_port}
    pod = _pod(SERVER, [{**serves, "ports": [port]}], volumes=volumes)
    return [pod] if neighbour_of(expected) else [pod, _pod(NEIGHBOUR, [waits])]


@pytest.fixture(scope="session", autouse=True)
def boot_is_over(guest: Host, expected: Expectations, handed_over_at: float | None) -> None:
    """Wait for the end of the boot: with `embed: archive`, the VM still imports images when SSH answers."""
    if expected.systemd:
        guest.run("timeout %s systemctl is-system-running --wait", str(int(60 * expected.slowness)))
