# SPDX-License-Identifier: Apache-2.0
"""A connection to a cloud as one user of it: clients for images, stacks and servers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from goldsmith.core import openstack
from goldsmith.errors import CloudError
from goldsmith.heat.images import Images
from goldsmith.heat.servers import Servers
from goldsmith.heat.stacks import Stacks


@dataclass(frozen=True, kw_only=True, slots=True)
class Cloud:
    """The clients of one connection. Their methods raise CloudError if the cloud refuses or is too slow."""

    name: str
    images: Images
    stacks: Stacks
    servers: Servers

    def leftovers(self, word: str, *, servers: Collection[str] = ()) -> list[str]:
        """Stacks, servers, ports and images whose names contain word, and these servers' ports, a line each.

        servers: IDs. Heat shortens long names of servers, and ports that Nova creates have no name.
        """
        return [
            *(f"stack {name}" for name in self.stacks.named(word)),
            *(f"server {each.name}" for each in self.servers.all() if word in each.name),
            *(f"port {port}" for port in self.servers.ports(word, servers)),
            *(f"image {name}" for name in self.images.named(word).values()),
        ]


def connect(name: str, *, clouds_yaml: Path | None = None) -> Cloud:
    """Connect to a cloud of clouds.yaml; name "" is the one of OS_CLOUD. Raises CloudError."""
    sdk = openstack.connect(name, clouds_yaml=clouds_yaml, error=CloudError)
    return Cloud(name=name, images=Images(sdk), stacks=Stacks(sdk), servers=Servers(sdk))
