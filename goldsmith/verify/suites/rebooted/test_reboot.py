# SPDX-License-Identifier: Apache-2.0
"""A reboot does not repeat the steps of the first boot."""

from __future__ import annotations

import pytest
from guest import OF_SUITES, SERVER, find_pod, is_ready, process_of, said_at_host_port, the_pod, wait_for
from testinfra.host import Host

from goldsmith.spec.model import Embed
from goldsmith.verify.expectations import Expectations


@pytest.mark.needs("systemd")
def test_machine_was_rebooted(host: Host) -> None:
    assert len(host.check_output("journalctl --list-boots --no-pager -q").splitlines()) >= 2


@pytest.mark.needs("kubelet")
def test_no_pod_outlived_its_grace_period_at_the_shutdown(host: Host) -> None:
    """The suites' server ignores SIGTERM: without the kubelet's help, systemd waits 90 s for its scope."""
    log = host.check_output("journalctl -b -1 --no-pager -o cat")
    late = [line for line in log.splitlines() if "Stopping timed out" in line]
    assert late == []


@pytest.mark.needs("containers")
def test_nothing_was_imported_again(host: Host, expected: Expectations) -> None:
    log = host.check_output("journalctl -b --no-pager -o cat -t import-images -u goldsmith-import.service")
    assert "imported and pinned" not in log
    if expected.info.embed == Embed.archive:
        before = host.check_output("journalctl --no-pager -o cat -u goldsmith-import.service")
        assert before.count("imported and pinned") == 1


@pytest.mark.needs("kubelet")
def test_containers_outlive_a_restart_of_containerd(host: Host, expected: Expectations) -> None:
    """On a slow host the kubelet may replace them afterwards: containerd gives up on a sandbox after 10 s."""
    process = process_of(host, the_pod(host, SERVER, OF_SUITES))

    host.check_output(f"systemctl restart containerd && kill -0 {process}")

    assert wait_for(lambda: _serves_again(host, expected), 60 * expected.slowness)


def _serves_again(host: Host, expected: Expectations) -> bool:
    try:
        server = find_pod(host, SERVER, OF_SUITES)
    except AssertionError:  # the kubelet, which is restarted with containerd, does not listen yet
        return False
    if server is None or not is_ready(server):
        return False
    try:
        return said_at_host_port(expected) == b"served"
    except OSError:
        return False


@pytest.mark.needs("kubelet")
def test_certificates_are_those_of_the_first_boot(host: Host) -> None:
    made = host.check_output("journalctl -b --no-pager -o cat -u kubelet-certificates.service")
    assert "Finished" not in made
