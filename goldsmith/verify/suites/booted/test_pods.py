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
    is_ready,
    is_running,
    kubelet_get,
    process_of,
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


@pytest.mark.once("the pod is not given again: files that no boot writes decide what is pulled")
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
    """Such a pod is in the network of the process that asks here."""
    found = [find_pod(host, name, namespace) for namespace, name in settled]
    pod = next((p for p in found if p and is_running(p) and p["spec"].get("hostNetwork")), None)
    if pod is None:
        pytest.skip("each pod of the spec in the host's network has ended")
    networks = [f"/proc/{process}/ns/net" for process in (process_of(host, pod), "self")]
    assert len(set(host.check_output("readlink %s %s", *networks).split())) == 1, "it has another network"
    assert kubelet_get(host, "/pods", certificate=False)["status"] == 401
