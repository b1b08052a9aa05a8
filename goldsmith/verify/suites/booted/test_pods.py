# SPDX-License-Identifier: Apache-2.0
"""The spec's pods start from the embedded images; a pod whose image is not embedded does not start."""

from __future__ import annotations

from typing import Any

import pod_failures
import pytest
from guest import (
    OF_SUITES,
    Key,
    find_pod,
    in_network_of,
    is_ready,
    is_running,
    kubelet_get_from,
    the_pod,
    wait_for,
)
from testinfra.host import Host

from goldsmith.verify.expectations import Expectations

pytestmark = pytest.mark.needs("kubelet")


@pytest.mark.needs("pods")
def test_every_pod_is_running_and_ready(host: Host, settled: list[Key]) -> None:
    unready = pod_failures.report(host, settled)
    if unready:
        pytest.fail(unready, pytrace=False)


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


@pytest.mark.needs("host-networked-pods")
def test_anonymous_client_in_a_host_networked_pod_gets_401(host: Host, settled: list[Key]) -> None:
    found = [find_pod(host, name, namespace) for namespace, name in settled]
    pod = next((p for p in found if p and is_running(p) and p["spec"].get("hostNetwork")), None)
    if pod is None:
        pytest.skip("each pod of the spec in the host's network has ended")
    answer = kubelet_get_from(host, in_network_of(host, pod), "/pods", certificate=False)
    assert answer["status"] == 401
