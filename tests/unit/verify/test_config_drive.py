# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pycdlib
import pytest

from goldsmith.verify import config_drive
from goldsmith.verify.config_drive import Instance, Nic

STATIC = Nic(
    mac="52:54:00:00:00:01", mtu=1400, ipv4="10.0.2.77/24", gateway="10.0.2.2", ipv6="fd00::77/64",
    nameserver="10.0.2.3",
)  # fmt: skip
DHCP = Nic(mac="52:54:00:00:00:02")
INSTANCE = Instance(hostname="golden", public_key="ssh-ed25519 AAAA me", nics=(STATIC, DHCP))


def read(iso: pycdlib.PyCdlib, path: str, **by: str) -> bytes:
    sink = io.BytesIO()
    iso.get_file_from_iso_fp(sink, **(by or {"joliet_path": path}))
    return sink.getvalue()


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("seed") / "seed.iso"
    config_drive.write(INSTANCE, path)
    iso = pycdlib.PyCdlib()
    iso.open(str(path))
    yield iso
    iso.close()


def test_the_drive_has_the_label_that_cloud_init_looks_for(drive: pycdlib.PyCdlib) -> None:
    assert drive.pvd.volume_identifier.decode().strip() == "config-2"


@pytest.mark.parametrize("version", ["latest", "2018-08-27"])
@pytest.mark.parametrize("name", ["meta_data.json", "network_data.json", "vendor_data.json", "user_data"])
def test_every_version_has_every_file_in_both_name_spaces(
    drive: pycdlib.PyCdlib, version: str, name: str
) -> None:
    path = f"/openstack/{version}/{name}"

    by_joliet = read(drive, path, joliet_path=path)
    by_rock_ridge = read(drive, path, rr_path=path)

    assert by_joliet
    assert by_joliet == by_rock_ridge


def test_all_versions_describe_the_same_instance(drive: pycdlib.PyCdlib) -> None:
    for name in ("meta_data.json", "network_data.json"):
        assert read(drive, f"/openstack/latest/{name}") == read(drive, f"/openstack/2018-08-27/{name}")


def test_two_drives_are_two_instances() -> None:
    first, second = (json.loads(config_drive.documents(INSTANCE)["meta_data.json"])["uuid"] for _ in "ab")

    assert first != second


def test_the_metadata_has_name_and_key() -> None:
    meta = json.loads(config_drive.documents(INSTANCE)["meta_data.json"])

    assert meta["hostname"] == "golden"
    assert list(meta["public_keys"].values()) == ["ssh-ed25519 AAAA me"]


def test_a_static_card_has_both_addresses_and_its_route() -> None:
    data = config_drive.network_data([STATIC])

    assert data["links"] == [
        {"id": "tap0", "type": "ovs", "ethernet_mac_address": STATIC.mac, "mtu": 1400, "vif_id": "tap0"}
    ]
    ipv4, ipv6 = data["networks"]
    assert (ipv4["type"], ipv4["ip_address"], ipv4["netmask"]) == ("ipv4", "10.0.2.77", "255.255.255.0")
    assert ipv4["routes"] == [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.0.2.2"}]  # noqa: S104 - a route
    assert (ipv6["type"], ipv6["ip_address"]) == ("ipv6", "fd00::77/64")
    assert data["services"] == [{"type": "dns", "address": "10.0.2.3"}]


def test_a_card_without_address_uses_dhcp() -> None:
    data = config_drive.network_data([DHCP])

    assert [network["type"] for network in data["networks"]] == ["ipv4_dhcp"]
    assert data["services"] == []


def test_a_card_may_have_dhcp_for_ipv4_and_a_fixed_ipv6_address() -> None:
    data = config_drive.network_data([Nic(mac="52:54:00:00:00:03", ipv6="fd00::1/64")])

    assert [network["type"] for network in data["networks"]] == ["ipv4_dhcp", "ipv6"]


def test_networks_belong_to_their_card() -> None:
    data = config_drive.network_data([STATIC, DHCP])

    assert [link["id"] for link in data["links"]] == ["tap0", "tap1"]
    assert [network["link"] for network in data["networks"]] == ["tap0", "tap0", "tap1"]
    assert len({network["id"] for network in data["networks"]}) == 3


def test_a_card_without_gateway_gives_no_default_route() -> None:
    data = config_drive.network_data([Nic(mac="52:54:00:00:00:03", ipv4="192.0.2.1/24")])

    assert data["networks"][0]["routes"] == []


@pytest.mark.parametrize(
    ("cidr", "mask"),
    [("10.0.0.1/8", "255.0.0.0"), ("10.0.0.1/20", "255.255.240.0"), ("10.0.0.1/32", "255.255.255.255"),
     ("10.0.0.1/0", "0.0.0.0")],  # noqa: S104 - a mask
)  # fmt: skip
def test_netmasks(cidr: str, mask: str) -> None:
    (network,) = config_drive.network_data([Nic(mac="52:54:00:00:00:03", ipv4=cidr)])["networks"]

    assert (network["ip_address"], network["netmask"]) == ("10.0.0.1", mask)


@pytest.mark.parametrize("cidr", ["10.0.0.256/24", "10.0.0.1/33", "somewhere/24"])
def test_an_invalid_address_is_refused(cidr: str) -> None:
    with pytest.raises(ValueError, match=r"256|33|somewhere"):
        config_drive.network_data([Nic(mac="52:54:00:00:00:03", ipv4=cidr)])


def test_user_data_is_written_unchanged(tmp_path: Path) -> None:
    text = "#cloud-config\nruncmd: [echo ü]\n"
    instance = Instance(hostname="h", public_key="k", nics=(), user_data=text)

    assert config_drive.documents(instance)["user_data"].decode() == text
