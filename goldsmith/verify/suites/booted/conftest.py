# SPDX-License-Identifier: Apache-2.0
"""The pods are handed over before the first test, so that they start while the others look around."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import testinfra
from guest import put
from testinfra.host import Host

MANIFESTS = "/etc/kubernetes/manifests"
STRANGER = {
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
    """What waits for the pods comes last here, and the user's own suites after it."""
    items.sort(
        key=lambda i: (Path(__file__).parent != i.path.parent, "settled" in getattr(i, "fixturenames", ()))
    )


@pytest.fixture(scope="session")
def guest(request: pytest.FixtureRequest) -> Host:
    """testinfra's host, which is another one for each module, for as long as all of them."""
    options = request.config.option
    return testinfra.get_host(options.hosts, ssh_config=options.ssh_config, sudo=True)


@pytest.fixture(scope="session")
def handed_over_at(guest: Host, expect: dict[str, Any]) -> Iterator[float | None]:
    """When the spec's pods, and one that must not start, were given to the kubelet: seconds since 1970."""
    pods = (expect["build"] or {}).get("verify", {}).get("pods", [])
    if not (pods and expect["build"].get("kubelet")):
        yield None
        return
    put(guest, {f"{MANIFESTS}/{pod['metadata']['name']}.json": json.dumps(pod) for pod in [*pods, STRANGER]})
    yield float(guest.check_output("date +%s"))
    guest.check_output(f"rm {MANIFESTS}/not-embedded.json")


@pytest.fixture(scope="session", autouse=True)
def boot_is_over(guest: Host, expect: dict[str, Any], handed_over_at: float | None) -> None:
    """SSH answers before that; with `embed: archive` the images are still being imported then."""
    if expect["systemd"]:
        guest.run("timeout %s systemctl is-system-running --wait", str(int(60 * expect["slowness"])))
