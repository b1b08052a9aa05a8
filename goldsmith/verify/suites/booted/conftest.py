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
    find_pod,
    is_ready,
    is_running,
    key_of,
    put,
    ready_since,
    the_pod,
    wait_for,
    wait_until_ready,
)  # fmt: skip
from testinfra.host import Host

from goldsmith.verify.expectations import Expectations

MANIFESTS = "/etc/kubernetes/manifests"
NEIGHBOUR = "neighbour"
# A program of the guest's Python, which containers of the suites get by a mount: no image need have one.
_SERVER = f"""
import signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # process 1 ends by no signal that it does not handle
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
    """Tests that wait for the spec's pods are late, later those with pods of the suites, last the user's."""

    def turn(item: pytest.Item) -> tuple[bool, bool, bool]:
        names = getattr(item, "fixturenames", ())
        return Path(__file__).parent != item.path.parent, "server" in names, "settled" in names

    items.sort(key=turn)


@pytest.fixture(scope="session")
def guest(request: pytest.FixtureRequest) -> Host:
    """testinfra's host for the whole session; its own fixture `host` is one for each module."""
    options = request.config.option
    return testinfra.get_host(options.hosts, ssh_config=options.ssh_config, sudo=True)


@pytest.fixture(scope="session")
def handed_over_at(guest: Host, expected: Expectations) -> Iterator[float | None]:
    """Give the kubelet the spec's pods and one that must not start; the time of it, in seconds since 1970."""
    if expected.info.kubelet is None:
        yield None
        return
    hand_over(guest, "spec", expected.info.verify.pods)
    hand_over(guest, "refused", [NOT_EMBEDDED])
    yield float(guest.check_output("date +%s"))
    guest.check_output(f"rm {MANIFESTS}/refused-*.json")


@pytest.fixture(scope="session")
def settled(
    guest: Host,
    expected: Expectations,
    handed_over_at: float,
    record_testsuite_property: Callable[[str, object], None],
) -> list[Key]:
    """The spec's pods, once they are ready or their deadline is over; those of the suites start then."""
    keys = [key_of(manifest) for manifest in expected.info.verify.pods]
    deadline_s = expected.info.verify.pods_deadline_s * expected.slowness
    ready = wait_until_ready(guest, keys, deadline_s) if keys else []
    if keys and len(ready) == len(keys):
        took_s = max(ready_since(pod) for pod in ready) - handed_over_at
        record_testsuite_property("pods_ready_s", max(took_s, 0.0))
    if expected.info.kubelet is not None:
        hand_over(guest, "suites", own_pods(guest, expected, bridged(guest, keys)))
    return keys


@pytest.fixture(scope="session")
def server(guest: Host, expected: Expectations, settled: list[Key]) -> Pod:
    """The suites' own pod with a server on a host port, once it is ready. It stays: also over the reboot."""
    deadline_s = expected.info.verify.pods_deadline_s * expected.slowness
    wait_until_ready(guest, [(OF_SUITES, SERVER)], deadline_s)
    return the_pod(guest, SERVER, OF_SUITES)


@pytest.fixture(scope="session")
def neighbour(guest: Host, expected: Expectations, server: Pod, settled: list[Key]) -> Pod:
    """Another pod in a network of its own: one of the spec if it has such a one that runs."""
    return wait_for_neighbour(guest, settled, expected.info.verify.pods_deadline_s * expected.slowness)


def wait_for_neighbour(guest: Host, keys: list[Key], deadline_s: float) -> Pod:
    """A pod of the spec, or the suites' own once it is ready; own_pods() decided which of them there is."""

    def found() -> Pod | None:
        own = find_pod(guest, NEIGHBOUR, OF_SUITES)
        return bridged(guest, keys) or (own if own and is_ready(own) else None)

    return wait_for(found, deadline_s) or the_pod(guest, NEIGHBOUR, OF_SUITES)


def bridged(guest: Host, keys: list[Key]) -> Pod | None:
    """A running one of these pods that is not in the host's network, and does not end by itself."""
    found = (find_pod(guest, name, namespace) for namespace, name in keys)
    return next((p for p in found if p and is_running(p) and _is_bridged_service(p["spec"])), None)


def _is_bridged_service(spec: Mapping[str, Any]) -> bool:
    return not spec.get("hostNetwork") and spec.get("restartPolicy", "Always") == "Always"


def hand_over(guest: Host, prefix: str, pods: Sequence[Mapping[str, Any]]) -> None:
    """Give the kubelet pods; names of pods may be too long for files, or the same in two namespaces."""
    files = {f"{MANIFESTS}/{prefix}-{number}.json": json.dumps(pod) for number, pod in enumerate(pods)}
    if files:
        put(guest, files)


def sandbox_image(guest: Host) -> str:
    """The image of the pods' sandboxes: each image with a kubelet has it."""
    found = re.search(r"sandbox(?:_image)? = [\"'](.+?)[\"']", guest.check_output("containerd config dump"))
    assert found is not None, "containerd has no image for sandboxes"
    return found[1]


def own_pods(guest: Host, expected: Expectations, other: Pod | None) -> list[dict[str, Any]]:
    """A server on a host port, and another pod beside it if the spec has none: each costs time to start."""
    image = sandbox_image(guest)
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
    return [pod] if other else [pod, _pod(NEIGHBOUR, [waits])]


@pytest.fixture(scope="session", autouse=True)
def boot_is_over(guest: Host, expected: Expectations, handed_over_at: float | None) -> None:
    """Wait for the end of the boot: with `embed: archive`, the VM still imports images when SSH answers."""
    if expected.systemd:
        guest.run("timeout %s systemctl is-system-running --wait", str(int(60 * expected.slowness)))
