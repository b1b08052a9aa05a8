# SPDX-License-Identifier: Apache-2.0
"""Kubelet and containerd are healthy, of the right version, and refuse clients without a certificate."""

from __future__ import annotations

import pytest
from guest import find_pod, kubelet_get, wait_for
from testinfra.host import Host

from goldsmith.verify.expectations import Expectations

pytestmark = pytest.mark.needs("kubelet")
of_files = pytest.mark.once("the program and both configurations are files that no boot writes")


@pytest.mark.parametrize("unit", ["containerd", "kubelet"])
def test_service_is_enabled_and_running(host: Host, unit: str) -> None:
    assert host.check_output("systemctl is-enabled %s", unit) == "enabled"
    assert wait_for(lambda: host.run("systemctl is-active %s", unit).rc == 0, 60)


@of_files
def test_kubelet_has_the_version_that_the_image_names(host: Host, expected: Expectations) -> None:
    found = host.check_output("kubelet --version").split()[-1].lstrip("v")
    assert expected.info.kubelet is not None
    assert found == expected.info.kubelet.version


def test_kubelet_reports_that_it_is_healthy(host: Host, expected: Expectations) -> None:
    def healthy() -> str | None:
        try:
            return str(kubelet_get(host, "/healthz", port=10248)["body"])
        except AssertionError:  # it does not listen yet
            return None

    assert wait_for(healthy, 60 * expected.slowness) == "ok"


@of_files
def test_kubelet_and_containerd_agree_on_the_cgroup_driver(host: Host, containerd_config: str) -> None:
    assert "cgroupDriver: systemd" in host.file("/etc/kubernetes/kubelet.yaml").content_string
    assert "SystemdCgroup = true" in containerd_config


def test_api_listens_on_loopback_alone(host: Host) -> None:
    sockets = host.check_output("ss -Hltn sport = :10250 or sport = :10255")
    assert [line.split()[3] for line in sockets.splitlines()] == ["127.0.0.1:10250"]


def test_anonymous_client_gets_401_and_the_client_certificate_200(host: Host) -> None:
    assert kubelet_get(host, "/pods", certificate=False)["status"] == 401
    assert kubelet_get(host, "/pods")["status"] == 200


def test_private_keys_are_for_root_alone(host: Host) -> None:
    keys = [f"/etc/kubernetes/pki/{name}.key" for name in ("kubelet", "client")]
    assert host.check_output("stat -c '%%U %%a' %s %s", *keys).splitlines() == ["root 600"] * 2
    assert host.check_output("ls /etc/kubernetes/pki/*.key").split() == sorted(keys)


def test_service_accounts_of_the_api_are_not_needed(host: Host) -> None:
    assert find_pod(host, "kube-apiserver", "kube-system") is None
