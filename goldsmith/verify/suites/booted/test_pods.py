# SPDX-License-Identifier: Apache-2.0
"""The spec's pods start from the embedded images; a pod whose image is not embedded does not start.

Where a check needs a pod of a certain shape, the suites bring it: the spec may have none, or others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from guest import (
    OF_SUITES,
    Pod,
    find_pod,
    in_network_of,
    is_ready,
    key_of,
    kubelet_get,
    ready_since,
    started,
    the_pod,
    wait_for,
)  # fmt: skip
from testinfra.host import Host

from goldsmith.verify.expectations import Expectations

pytestmark = pytest.mark.needs("kubelet")


Key = tuple[str, str]  # namespace and name


def all_ready(host: Host, keys: list[Key]) -> list[Pod] | None:
    """These pods once all of them are ready, else None."""
    found = [find_pod(host, name, namespace) for namespace, name in keys]
    ready = [pod for pod in found if pod is not None and is_ready(pod)]
    return ready if len(ready) == len(keys) else None


@pytest.fixture(scope="module")
def settled(
    host: Host,
    expected: Expectations,
    handed_over_at: float,
    record_testsuite_property: Callable[[str, object], None],
) -> list[Key]:
    """The spec's pods, once they are ready or their deadline is over."""
    keys = [key_of(manifest) for manifest in expected.info.verify.pods]
    deadline_s = expected.info.verify.pods_deadline_s * expected.slowness
    ready = wait_for(lambda: all_ready(host, keys), deadline_s, every_s=4) if keys else None
    if ready:
        took_s = max(ready_since(pod) for pod in ready) - handed_over_at
        record_testsuite_property("pods_ready_s", max(took_s, 0.0))
    return keys


@pytest.mark.needs("pods")
def test_every_pod_is_running_and_ready(host: Host, settled: list[Key]) -> None:
    states = {(namespace, name): find_pod(host, name, namespace) for namespace, name in settled}
    assert {key: bool(p and is_ready(p)) for key, p in states.items()} == dict.fromkeys(settled, True), states


@pytest.mark.needs("pods")
def test_pods_run_the_locked_digests(host: Host, settled: list[Key], expected: Expectations) -> None:
    digests = {digest for image in expected.images for digest in (image.config_digest, image.digest)}
    for namespace, name in settled:
        for status in the_pod(host, name, namespace)["status"]["containerStatuses"]:
            assert status["imageID"].rpartition("@")[2] in digests, status


def test_nothing_was_pulled(host: Host, settled: list[Key]) -> None:
    log = host.check_output("journalctl -b -u containerd --no-pager -o cat")
    pulls = [line for line in log.splitlines() if "PullImage" in line and "not-embedded.invalid" not in line]
    assert pulls == []


def test_pod_whose_image_is_not_embedded_does_not_start(
    host: Host, settled: list[Key], expected: Expectations
) -> None:
    def refused() -> dict[str, Any] | None:
        pod = find_pod(host, "not-embedded", OF_SUITES)
        statuses = (pod or {}).get("status", {}).get("containerStatuses", [])
        waiting = [s["state"].get("waiting", {}).get("reason") for s in statuses]
        return pod if set(waiting) & {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull"} else None

    pod = wait_for(refused, 120 * expected.slowness)
    assert pod, find_pod(host, "not-embedded", OF_SUITES)
    assert not is_ready(pod)


def test_anonymous_client_in_a_host_networked_pod_gets_401(
    host: Host, settled: list[Key], expected: Expectations
) -> None:
    pod = started(host, "host-networked", expected)
    answer = kubelet_get(host, "/pods", certificate=False, prefix=in_network_of(host, pod))
    assert answer["status"] == 401
