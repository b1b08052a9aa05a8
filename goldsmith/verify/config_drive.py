# SPDX-License-Identifier: Apache-2.0
"""Write a config drive like OpenStack Nova's: an ISO 9660 image with the label config-2.

Format: https://docs.openstack.org/nova/latest/user/metadata.html (meta_data.json, network_data.json,
user_data, vendor_data.json below openstack/latest/).
"""

from __future__ import annotations

import io
import ipaddress
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pycdlib

LABEL = "config-2"
# "latest" is what cloud-init reads; the dated folder is how it recognizes a config drive
_VERSIONS = ("latest", "2018-08-27")


@dataclass(frozen=True, kw_only=True, slots=True)
class Nic:
    """A network card of network_data.json. Addresses are CIDR; None: DHCP for IPv4, no address for IPv6."""

    mac: str
    mtu: int = 1500
    ipv4: str | None = None
    gateway: str | None = None
    ipv6: str | None = None
    nameserver: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """Contents of the datasource of a VM."""

    hostname: str
    public_key: str
    nics: Sequence[Nic]
    user_data: str = "#cloud-config\n{}\n"


def documents(instance: Instance) -> dict[str, bytes]:
    """File name -> content of one metadata version."""
    meta = {
        "uuid": str(uuid.uuid4()),
        "name": instance.hostname,
        "hostname": instance.hostname,
        "availability_zone": "nova",
        "launch_index": 0,
        "public_keys": {"verify": instance.public_key},
        "meta": {},
    }
    return {
        "meta_data.json": _json(meta),
        "network_data.json": _json(network_data(instance.nics)),
        "vendor_data.json": _json({}),
        "user_data": instance.user_data.encode(),
    }


def network_data(nics: Sequence[Nic]) -> dict[str, Any]:
    """Nova's network_data.json for these cards."""
    links, networks, services = [], [], []
    for number, nic in enumerate(nics):
        link = f"tap{number}"
        links.append(
            {"id": link, "type": "ovs", "ethernet_mac_address": nic.mac, "mtu": nic.mtu, "vif_id": link}
        )
        networks += _networks(nic, link)
        if nic.nameserver is not None:
            services.append({"type": "dns", "address": nic.nameserver})
    return {"links": links, "networks": networks, "services": services}


def write(instance: Instance, path: Path) -> None:
    """Write the config drive to path."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=LABEL)
    number = 0
    files = documents(instance)  # once, so that all versions have the same UUID
    _folder(iso, "/OPENSTACK", "openstack", "/openstack")
    for index, version in enumerate(_VERSIONS):
        iso_folder = f"/OPENSTACK/V{index}"
        _folder(iso, iso_folder, version, f"/openstack/{version}")
        for name, data in files.items():
            number += 1
            iso.add_fp(
                io.BytesIO(data), len(data), f"{iso_folder}/F{number}.;1",
                rr_name=name, joliet_path=f"/openstack/{version}/{name}",
            )  # fmt: skip
    iso.write(str(path))
    iso.close()


def _folder(iso: pycdlib.PyCdlib, iso_path: str, name: str, joliet_path: str) -> None:
    iso.add_directory(iso_path, rr_name=name, joliet_path=joliet_path)


def _networks(nic: Nic, link: str) -> list[dict[str, Any]]:
    networks: list[dict[str, Any]] = []
    if nic.ipv4 is None:
        networks.append(
            {"id": f"{link}-dhcp", "link": link, "type": "ipv4_dhcp", "network_id": str(uuid.uuid4())}
        )
    else:
        at = ipaddress.IPv4Interface(nic.ipv4)
        networks.append(
            {
                "id": f"{link}-ipv4", "link": link, "type": "ipv4", "network_id": str(uuid.uuid4()),
                "ip_address": str(at.ip), "netmask": str(at.netmask),
                "routes": _default_route(nic.gateway),
            }
        )  # fmt: skip
    if nic.ipv6 is not None:
        networks.append(
            {
                "id": f"{link}-ipv6", "link": link, "type": "ipv6", "network_id": str(uuid.uuid4()),
                "ip_address": nic.ipv6, "routes": [],
            }
        )  # fmt: skip
    return networks


def _default_route(gateway: str | None) -> list[Mapping[str, str]]:
    if gateway is None:
        return []
    return [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": gateway}]  # noqa: S104 - a route


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()
