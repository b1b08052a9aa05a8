# SPDX-License-Identifier: Apache-2.0
"""Kubelet and containerd are healthy, of the right version, and closed to strangers."""

from __future__ import annotations

import pytest
from guest import find_pod, kubelet_get, wait_for

pytestmark = pytest.mark.needs("kubelet")


@pytest.mark.parametrize("unit", ["containerd", "kubelet"])
def test_service_is_enabled_and_running(host, unit):
    service = host.service(unit)
    assert service.is_enabled
    assert wait_for(lambda: service.is_running, 60)


def test_kubelet_has_the_version_that_the_image_names(host, expect):
    found = host.check_output("kubelet --version").split()[-1].lstrip("v")
    assert found == expect["build"]["kubelet"]["version"]


def test_kubelet_says_it_is_healthy(host, expect):
    def healthy():
        return host.run(
            "python3 -c %s",
            "import urllib.request as u; print(u.urlopen('http://127.0.0.1:10248/healthz').read().decode())",
        )

    answer = wait_for(lambda: (r := healthy()).rc == 0 and r, 60 * expect["slowness"])
    assert answer
    assert answer.stdout.strip() == "ok"


def test_kubelet_and_containerd_agree_on_the_cgroup_driver(host):
    assert "cgroupDriver: systemd" in host.file("/etc/kubernetes/kubelet.yaml").content_string
    assert "SystemdCgroup = true" in host.check_output("containerd config dump")


def test_api_listens_on_loopback_alone(host):
    sockets = host.check_output("ss -Hltn sport = :10250 or sport = :10255")
    assert [line.split()[3] for line in sockets.splitlines()] == ["127.0.0.1:10250"]


def test_stranger_gets_401_and_the_client_certificate_200(host):
    assert kubelet_get(host, "/pods", certificate=False)["status"] == 401
    assert kubelet_get(host, "/pods")["status"] == 200


def test_private_keys_are_for_root_alone(host):
    for name in ("kubelet.key", "client.key"):
        file = host.file(f"/etc/kubernetes/pki/{name}")
        assert (file.user, file.mode) == ("root", 0o600)
    assert not host.file("/etc/kubernetes/pki/ca.key").exists


def test_service_accounts_of_the_api_are_not_needed(host):
    assert find_pod(host, "kube-apiserver") is None
