# SPDX-License-Identifier: Apache-2.0
"""Servers of one cloud user in Nova: list, reboot, console, their ports."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from goldsmith.core.openstack import translated
from goldsmith.errors import CloudError

_CONSOLE_LINES = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """A server as Nova shows it; image: the ID of the image that it was booted from."""

    id: str
    name: str
    image: str
    addresses: tuple[str, ...]


class Servers:
    """Nova's client; every method raises CloudError."""

    def __init__(self, sdk: Any) -> None:  # noqa: ANN401 - the SDK has no types
        self._sdk = sdk

    def all(self) -> list[Server]:
        """All of the user's. Heat shortens long names, so a stack's name need not be in its servers'."""
        with translated("Nova does not list the servers"):
            found = list(self._sdk.compute.servers())
        return [
            Server(
                id=str(each.id), name=str(each.name or each.id), image=str((each.image or {}).get("id", "")),
                addresses=tuple(a["addr"] for network in (each.addresses or {}).values() for a in network),
            )
            for each in found
        ]  # fmt: skip

    def reboot(self, server: str, *, timeout_s: float) -> None:
        """Reboot a server; returns when it has gone down and begins to start."""
        with translated(f"Nova does not reboot {server}"):
            self._sdk.compute.reboot_server(server, "SOFT")
            found = self._sdk.compute.get_server(server)
            self._sdk.compute.wait_for_server(found, status="ACTIVE", wait=timeout_s)

    def console(self, server: str) -> str:
        """The end of a server's console; empty where the cloud does not show it."""
        with contextlib.suppress(CloudError), translated(f"no console of {server}"):
            answer = self._sdk.compute.get_server_console_output(server, length=_CONSOLE_LINES)
            return str(answer["output"])
        return ""

    def ports(self, word: str, servers: Collection[str]) -> list[str]:
        """Names, else IDs, of the ports whose name contains word, and of these servers' ports."""
        with translated("Neutron does not list the ports"):
            found = list(self._sdk.network.ports())
        return [
            str(each.name or each.id)
            for each in found
            if word in str(each.name) or each.device_id in servers
        ]  # fmt: skip
