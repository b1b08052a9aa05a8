# SPDX-License-Identifier: Apache-2.0
"""Nova's API as a publisher uses it: servers of canaries, and whether any server uses an image."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from goldsmith.core import openstack
from goldsmith.core.openstack import translated
from goldsmith.errors import PublishError

_SILENCE_S = 60  # a cloud that does not answer for so long is lost
_CONSOLE_LINES = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """A server. status: Nova's; fault: Nova's reason where that is ERROR; created: ISO 8601."""

    id: str
    name: str = ""
    project: str = ""
    created: str = ""
    status: str = ""
    fault: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


class Nova:
    """The servers of one project in one cloud. Methods raise PublishError."""

    def __init__(self, connection: Any, cloud: str) -> None:  # noqa: ANN401 - the SDK has no types
        self._sdk = connection
        self.cloud = cloud

    def any_server_of(self, image: str) -> bool | None:
        """Whether any server of the cloud was made from an image; None where we may not see all of them."""
        query = {"image": image, "all_tenants": "1", "limit": "1"}
        with (
            contextlib.suppress(PublishError),
            translated(f"{self.cloud}: cannot list servers", PublishError),
        ):
            answer = self._sdk.compute.get("/servers", params=query, timeout=_SILENCE_S)
            openstack.raise_for(answer)
            return bool(answer.json()["servers"])
        return None

    def servers_of(self, image: str) -> tuple[list[Server], bool]:
        """The servers that were made from an image, and whether those of all projects are among them."""
        with translated(f"{self.cloud}: cannot list servers", PublishError):
            try:
                found, everywhere = list(self._sdk.compute.servers(all_projects=True, image=image)), True
            except openstack.forbidden():
                found, everywhere = list(self._sdk.compute.servers(image=image)), False
        return [
            Server(
                id=str(each.id), name=str(each.name), project=str(each.project_id), status=str(each.status),
                created=str(each.created_at),
            )
            for each in found
        ], everywhere  # fmt: skip

    def create(
        self, name: str, *, image: str, flavor: str, network: str, user_data: str, metadata: Mapping[str, str]
    ) -> str:
        """Start a server with a config drive; its ID. flavor and network: names or IDs; network may be ""."""
        with translated(f"{self.cloud}: cannot boot a server from {image}", PublishError):
            compute = self._sdk.compute
            nics: Any = "none"
            if network:
                nics = [{"uuid": self._sdk.network.find_network(network, ignore_missing=False).id}]
            server = compute.create_server(
                name=name, image_id=image, networks=nics, config_drive=True, metadata=dict(metadata),
                flavor_id=compute.find_flavor(flavor, ignore_missing=False).id,
                user_data=base64.b64encode(user_data.encode()).decode(),
            )  # fmt: skip
        return str(server.id)

    def servers(self, name: str) -> list[Server]:
        """Our servers whose name contains name."""
        with translated(f"{self.cloud}: cannot list servers", PublishError):
            found = self._sdk.compute.servers(name=name)
            return [Server(id=str(each.id), metadata=each.metadata or {}) for each in found]

    def get(self, server: str) -> Server:
        """A server as it is now."""
        with translated(f"{self.cloud}: Nova does not show the server {server}", PublishError):
            found = self._sdk.compute.get_server(server)
        fault = str((found.fault or {}).get("message", ""))
        return Server(id=server, status=str(found.status), fault=fault, metadata=found.metadata or {})

    def console(self, server: str) -> str:
        """The end of a server's console; empty where there is none yet."""
        with contextlib.suppress(PublishError), translated("no console yet", PublishError):
            answer = self._sdk.compute.get_server_console_output(server, length=_CONSOLE_LINES)
            return str(answer["output"])
        return ""

    def delete(self, server: str, *, wait_s: float = 0) -> None:
        """Delete a server, also one that is gone already; wait up to wait_s until it is gone."""
        with translated(f"{self.cloud}: cannot remove the server {server}", PublishError):
            found = self._sdk.compute.find_server(server, ignore_missing=True)
            if found is None:
                return
            self._sdk.compute.delete_server(found)
            if wait_s:
                self._sdk.compute.wait_for_delete(found, wait=wait_s)
