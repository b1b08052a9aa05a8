# SPDX-License-Identifier: Apache-2.0
"""The spec's pods start from the embedded images; a pod whose image is not embedded does not start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from guest import find_pod, is_ready, kubelet_get, pods, ready_since, the_pod, wait_for
from testinfra.host import Host

from goldsmith.verify.expectations import Expectations

pytestmark = pytest.mark.needs("kubelet", "pods")


def all_ready(host: Host, names: list[str]) -> list[dict[str, Any]] | None:
    """The pods of these names once all of them are ready, else None."""
    found = pods(host)
    mine = [p for n in names for full, p in found.items() if full.startswith(f"{n}-") and is_ready(p)]
    return mine if len(mine) == len(names) else None


@pytest.fixture(scope="module")
def manifests(expected: Expectations) -> list[Mapping[str, Any]]:
    return list(expected.info.verify.pods)


@pytest.fixture(scope="module")
def settled(
    host: Host,
    expected: Expectations,
    manifests: list[Mapping[str, Any]],
    handed_over_at: float,
    record_testsuite_property: Callable[[str, object], None],
) -> list[str]:
    """The names of the spec's pods, once they are ready or their deadline is over."""
    names = [pod["metadata"]["name"] for pod in manifests]
    deadline_s = expected.info.verify.pods_deadline_s * expected.slowness
    if ready := wait_for(lambda: all_ready(host, names), deadline_s, every_s=4):
        took_s = max(ready_since(pod) for pod in ready) - handed_over_at
        record_testsuite_property("pods_ready_s", max(took_s, 0.0))
    return names


def test_every_pod_is_running_and_ready(host: Host, settled: list[str]) -> None:
    states = {name: find_pod(host, name) for name in settled}
    assert {n: bool(p and is_ready(p)) for n, p in states.items()} == dict.fromkeys(settled, True), states


def test_pods_run_the_locked_digests(host: Host, settled: list[str], expected: Expectations) -> None:
    digests = {digest for image in expected.images for digest in (image.config_digest, image.digest)}
    for name in settled:
        for status in the_pod(host, name)["status"]["containerStatuses"]:
            assert status["imageID"].rpartition("@")[2] in digests, status


def test_pods_use_both_networks(manifests: list[Mapping[str, Any]]) -> None:
    """Check the spec: of several pods, one uses the host's network and another one the bridge."""
    shared = {bool(pod["spec"].get("hostNetwork")) for pod in manifests}
    if len(manifests) > 1:
        assert shared == {True, False}


def test_nothing_was_pulled(host: Host, settled: list[str]) -> None:
    log = host.check_output("journalctl -b -u containerd --no-pager -o cat")
    pulls = [line for line in log.splitlines() if "PullImage" in line and "not-embedded.invalid" not in line]
    assert pulls == []


def test_pod_whose_image_is_not_embedded_does_not_start(host: Host, settled: list[str]) -> None:
    def refused() -> dict[str, Any] | None:
        pod = find_pod(host, "not-embedded")
        statuses = (pod or {}).get("status", {}).get("containerStatuses", [])
        waiting = [s["state"].get("waiting", {}).get("reason") for s in statuses]
        return pod if set(waiting) & {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull"} else None

    pod = wait_for(refused, 120)
    assert pod, find_pod(host, "not-embedded")
    assert not is_ready(pod)


def test_anonymous_client_in_a_host_networked_pod_gets_401(
    host: Host, settled: list[str], manifests: list[Mapping[str, Any]]
) -> None:
    shared = next(pod for pod in manifests if pod["spec"].get("hostNetwork"))
    name = the_pod(host, shared["metadata"]["name"])["status"]["containerStatuses"][0]["containerID"]
    rows = host.check_output("ctr -n k8s.io tasks list").splitlines()
    pid = next(row.split()[1] for row in rows if row.split()[0] == name.rpartition("/")[2])
    answer = kubelet_get(host, "/pods", certificate=False, prefix=f"nsenter --net=/proc/{pid}/ns/net")
    assert answer["status"] == 401
