# SPDX-License-Identifier: Apache-2.0
"""The VM is up without failed units, and configured as its datasource says."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from guest import wait_for
from testinfra.host import Host

from goldsmith.verify.expectations import Expectations


@pytest.mark.needs("systemd")
def test_system_runs_without_a_failed_unit(host: Host) -> None:
    state = host.run("timeout %s systemctl is-system-running --wait", "300").stdout.strip()
    failed = host.check_output("systemctl list-units --failed --plain --no-legend")
    assert (state, failed) == ("running", "")


@pytest.mark.needs("systemd")
def test_boot_is_finished_by_cloud_init(host: Host) -> None:
    """What `cloud-init status` reads; errors that cloud-init calls recoverable are errors here, too."""
    result = "/run/cloud-init/result.json"  # the last stage writes it
    assert wait_for(lambda: host.file(result).exists, 300), host.run("cloud-init status --long").stdout

    status = json.loads(host.check_output("cat /run/cloud-init/status.json"))["v1"]

    stages = {name: stage for name, stage in status.items() if isinstance(stage, dict)}
    assert status["datasource"], status
    assert stages, status
    for stage in stages.values():
        assert not stage.get("errors"), status
        assert not stage.get("recoverable_errors"), status


def test_user_and_hostname_come_from_the_datasource(host: Host, expected: Expectations) -> None:
    assert host.check_output("cat /proc/sys/kernel/hostname") == expected.hostname
    with host.sudo(expected.user) if expected.user != "root" else host.sudo():
        assert host.check_output("id -un") == expected.user


@pytest.mark.needs("systemd")
def test_user_may_become_root_without_a_password(host: Host, expected: Expectations) -> None:
    assert expected.user != "root"
    with host.sudo(expected.user):
        assert host.run("sudo -n true").rc == 0


def link_of(host: Host, mac: str) -> dict[str, Any]:
    links: list[dict[str, Any]] = json.loads(host.check_output("ip -json address"))
    return next(link for link in links if link.get("address") == mac)


@pytest.mark.needs("systemd")
def test_addresses_and_mtu_come_from_the_datasource(host: Host, expected: Expectations) -> None:
    for nic in expected.nics:
        link = link_of(host, nic.mac)
        have = {f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"]}
        assert link["mtu"] == nic.mtu
        assert {address for address in (nic.ipv4, nic.ipv6) if address} <= have


@pytest.mark.needs("systemd")
def test_second_card_has_an_address_by_dhcp(host: Host, expected: Expectations) -> None:
    dhcp = [nic for nic in expected.nics if nic.ipv4 is None]
    assert dhcp
    for nic in dhcp:
        assert any(a["family"] == "inet" for a in link_of(host, nic.mac)["addr_info"])


@pytest.mark.needs("systemd")
def test_root_has_grown_to_its_disk(host: Host) -> None:
    disk, root = (int(n) for n in host.check_output(
        "d=$(findmnt -no SOURCE /); cat /sys/class/block/$(lsblk -no PKNAME $d)/size; "
        "df --block-size=512 --output=size / | tail -1"
    ).split())  # fmt: skip
    assert root > 0.9 * disk


@pytest.mark.needs("systemd")
def test_clock_is_right_and_kept(host: Host) -> None:
    states = host.run("systemctl is-active systemd-timesyncd.service chronyd.service").stdout.split()
    assert "active" in states
    assert int(host.check_output("date +%s")) > 1_700_000_000


@pytest.mark.needs("systemd")
def test_console_is_on_the_serial_port(host: Host) -> None:
    assert "console=ttyS0" in host.file("/proc/cmdline").content_string
    unit = "serial-getty@ttyS0.service"  # of Type=idle: it starts after all else
    assert wait_for(lambda: host.run("systemctl is-active %s", unit).rc == 0, 60), host.run(
        "systemctl status %s", unit
    ).stdout


@pytest.mark.needs("systemd")
def test_ssh_takes_keys_only(host: Host) -> None:
    settings = host.check_output("/usr/sbin/sshd -T").lower()
    assert "passwordauthentication no" in settings
    assert "kbdinteractiveauthentication no" in settings


@pytest.mark.needs("systemd")
def test_machine_id_and_host_keys_are_this_vms(host: Host) -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", host.file("/etc/machine-id").content_string.strip())
    assert host.run("ls /etc/ssh/ssh_host_*_key").rc == 0


@pytest.mark.needs("systemd")
def test_unattended_upgrades_are_as_the_spec_says(host: Host, expected: Expectations) -> None:
    timers = host.run("systemctl is-enabled apt-daily-upgrade.timer dnf5-automatic.timer")
    assert ("enabled" in timers.stdout.split()) is expected.info.unattended_upgrades


@pytest.mark.once("QEMU's command line is that of the first boot")
def test_network_is_cut(host: Host) -> None:
    """Negative control of all tests without network: the VM reaches nothing."""
    assert (
        host.run(
            "timeout 5 sh -c 'echo > /dev/tcp/10.0.2.2/22' || timeout 5 bash -c 'echo > /dev/tcp/10.0.2.2/22'"
        ).rc
        != 0
    )


@pytest.mark.needs("systemd")
def test_names_of_neighbours_are_not_answered(host: Host) -> None:
    """LLMNR has port 5355, multicast DNS 5353."""
    sockets = host.check_output("ss -Hlntup").splitlines()
    assert [
        line for line in sockets if "systemd-resolve" in line and (":5355 " in line or ":5353 " in line)
    ] == []
