# SPDX-License-Identifier: Apache-2.0
"""Start the pods before the first test, so that they come up while other tests run."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pod_failures
import pytest
import testinfra
from guest import (
    LISTENING,
    OF_SUITES,
    SERVED_PORT,
    SERVER,
    Key,
    Pod,
    Stored,
    find_pod,
    images,
    is_ready,
    key_of,
    put,
    ready_since,
    the_pod,
    wait_for,
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
def stored(guest: Host) -> Stored:
    """stored(NAMESPACE): the images in it when they were first asked for; each listing takes a second."""
    return functools.cache(functools.partial(images, guest))


@pytest.fixture(scope="session")
def containerd_config(guest: Host) -> str:
    """containerd's configuration, with what it includes and its defaults."""
    return str(guest.check_output("containerd config dump"))


@pytest.fixture(scope="session")
def handed_over_at(guest: Host, expected: Expectations) -> Iterator[float | None]:
    """Give the kubelet the spec's pods and once one that must not start; the time, in seconds since 1970."""
    if expected.info.kubelet is None:
        yield None
        return
    hand_over(guest, "spec", expected.info.verify.pods)
    hand_over(guest, "refused", [NOT_EMBEDDED] if expected.phase == "booted" else [])
    yield float(guest.check_output("date +%s"))
    guest.check_output(f"rm -f {MANIFESTS}/refused-*.json")


@pytest.fixture(scope="session")
def without_own_pods(
    guest: Host, expected: Expectations, handed_over_at: float | None, request: pytest.FixtureRequest
) -> str:
    """Give the kubelet the suites' own pods, which stay over the reboot; why there are none, or nothing."""
    if handed_over_at is None or expected.phase == "rebooted":
        return ""
    try:
        image = sandbox_image(request.getfixturevalue("containerd_config"))
        hand_over(guest, "suites", own_pods(guest, expected, image))
    except (AssertionError, KeyError) as e:  # which only those tests should hear that need them
        return f"the suites' own pods cannot be made: {e!r}"
    return ""


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
def server(guest: Host, expected: Expectations, settled: list[Key], without_own_pods: str) -> Pod:
    """The suites' own pod with a server on a host port, once it is ready. It stays: also over the reboot."""
    assert not without_own_pods, without_own_pods
    deadline_s = expected.info.verify.pods_deadline_s * expected.slowness
    wait_until_ready(guest, [(OF_SUITES, SERVER)], deadline_s)
    return the_pod(guest, SERVER, OF_SUITES)


@pytest.fixture(scope="session")
def neighbour(guest: Host, expected: Expectations, server: Pod) -> Pod:
    """Another pod in a network of its own that is ready: one of the spec if it has such ones."""
    keys = neighbours_of(expected) or [(OF_SUITES, NEIGHBOUR)]
    deadline_s = expected.info.verify.pods_deadline_s * expected.slowness
    return wait_for_any(guest, keys, deadline_s)


def wait_for_any(guest: Host, keys: Sequence[Key], deadline_s: float) -> Pod:
    """One of these pods, once it is ready. Fails with the reasons if none is."""

    def ready() -> Pod | None:
        found = (find_pod(guest, name, namespace) for namespace, name in keys)
        return next((pod for pod in found if pod and is_ready(pod)), None)

    pod = wait_for(ready, deadline_s)
    if pod is None:
        pytest.fail(pod_failures.report(guest, keys), pytrace=False)
    return pod


def neighbours_of(expected: Expectations) -> list[Key]:
    """The pods of the spec that are not in the host's network, and do not end by themselves."""
    return [key_of(pod) for pod in expected.info.verify.pods if _is_bridged_service(spec_of(pod))]


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
    return [pod] if neighbours_of(expected) else [pod, _pod(NEIGHBOUR, [waits])]


@pytest.fixture(scope="session", autouse=True)
def boot_is_over(guest: Host, expected: Expectations, without_own_pods: str) -> None:
    """Wait for the end of the boot: with `embed: archive`, the VM still imports images when SSH answers."""
    if expected.systemd:
        guest.run("timeout %s systemctl is-system-running --wait", str(int(60 * expected.slowness)))
