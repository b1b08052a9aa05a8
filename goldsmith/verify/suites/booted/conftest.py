# SPDX-License-Identifier: Apache-2.0
"""Start the pods before the first test, so that they come up while other tests run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import testinfra
from guest import put
from testinfra.host import Host

from goldsmith.verify.expectations import Expectations

MANIFESTS = "/etc/kubernetes/manifests"
NOT_EMBEDDED = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "not-embedded"},
    "spec": {
        "hostNetwork": True,
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "main", "image": "not-embedded.invalid/image:1"}],
    },
}


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
    """Give the kubelet the spec's pods and one that must not start; the time of it, in seconds since 1970."""
    pods = expected.info.verify.pods
    if not pods or expected.info.kubelet is None:
        yield None
        return
    put(
        guest,
        {f"{MANIFESTS}/{pod['metadata']['name']}.json": json.dumps(pod) for pod in [*pods, NOT_EMBEDDED]},
    )
    yield float(guest.check_output("date +%s"))
    guest.check_output(f"rm {MANIFESTS}/not-embedded.json")


@pytest.fixture(scope="session", autouse=True)
def boot_is_over(guest: Host, expected: Expectations, handed_over_at: float | None) -> None:
    """Wait for the end of the boot: with `embed: archive`, the VM still imports images when SSH answers."""
    if expected.systemd:
        guest.run("timeout %s systemctl is-system-running --wait", str(int(60 * expected.slowness)))
