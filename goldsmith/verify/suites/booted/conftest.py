# SPDX-License-Identifier: Apache-2.0
"""Start the pods before the first test, so that they come up while other tests run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import testinfra
from guest import OF_SUITES, SERVED_PORT, free_host_port, put
from testinfra.host import Host

from goldsmith.verify.expectations import Expectations

MANIFESTS = "/etc/kubernetes/manifests"
# A program of the guest's Python, which containers of the suites get by a mount: no image need have one.
_SERVER = f"""
import signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # process 1 ends by no signal that it does not handle
listening = socket.create_server(("", {SERVED_PORT}))
while True:
    peer, _ = listening.accept()
    peer.sendall(b"served")
    peer.close()
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests that wait for the pods last, and the user's own suites after them."""
    items.sort(
        key=lambda i: (Path(__file__).parent != i.path.parent, "settled" in getattr(i, "fixturenames", ()))
    )


@pytest.fixture(scope="session")
def guest(request: pytest.FixtureRequest) -> Host:
    """testinfra's host for the whole session; its own fixture `host` is one for each module."""
    options = request.config.option
    return testinfra.get_host(options.hosts, ssh_config=options.ssh_config, sudo=True)


@pytest.fixture(scope="session")
def handed_over_at(guest: Host, expected: Expectations) -> Iterator[float | None]:
    """Give the kubelet the spec's pods and those of the suites; the time of it, in seconds since 1970."""
    if expected.info.kubelet is None:
        yield None
        return
    pods = {f"spec-{number}": pod for number, pod in enumerate(expected.info.verify.pods)}
    pods |= {f"suites-{number}": pod for number, pod in enumerate(own_pods(guest, expected))}
    put(guest, {f"{MANIFESTS}/{name}.json": json.dumps(pod) for name, pod in pods.items()})
    yield float(guest.check_output("date +%s"))
    guest.check_output(f"rm {MANIFESTS}/suites-*.json")


def sandbox_image(guest: Host) -> str:
    """The image of the pods' sandboxes: each image with a kubelet has it."""
    found = re.search(r"sandbox(?:_image)? = [\"'](.+?)[\"']", guest.check_output("containerd config dump"))
    assert found is not None, "containerd has no image for sandboxes"
    return found[1]


def own_pods(guest: Host, expected: Expectations) -> list[dict[str, Any]]:
    """Pods for what the spec's may lack: one that must not start, one in the host's network, two servers."""
    image = sandbox_image(guest)
    waits = {"name": "main", "image": image, "imagePullPolicy": "Never"}
    folders = [folder for folder in ("/usr", "/lib", "/lib64") if guest.file(folder).exists]
    serves = {
        **waits,
        "command": ["/usr/bin/python3", "-IS", "-c", _SERVER],
        "volumeMounts": [{"name": f[1:], "mountPath": f, "readOnly": True} for f in folders],
    }
    volumes = [{"name": folder[1:], "hostPath": {"path": folder}} for folder in folders]
    port = {"containerPort": SERVED_PORT, "hostPort": free_host_port(expected.info.verify.pods)}
    return [
        _pod("not-embedded", [{"name": "main", "image": "not-embedded.invalid/image:1"}], hostNetwork=True),
        _pod("host-networked", [waits], hostNetwork=True),
        _pod("server", [serves], volumes=volumes),
        _pod("server-on-host-port", [{**serves, "ports": [port]}], volumes=volumes),
    ]


def _pod(name: str, containers: list[dict[str, Any]], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": OF_SUITES},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": containers, **spec},
    }


@pytest.fixture(scope="session", autouse=True)
def boot_is_over(guest: Host, expected: Expectations, handed_over_at: float | None) -> None:
    """Wait for the end of the boot: with `embed: archive`, the VM still imports images when SSH answers."""
    if expected.systemd:
        guest.run("timeout %s systemctl is-system-running --wait", str(int(60 * expected.slowness)))
