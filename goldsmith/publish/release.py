# SPDX-License-Identifier: Apache-2.0
"""Releases in Glance: their tags and properties, and the rule that looks the alias up.

The rule, which any client can follow: of the active images that have the alias as their name and the tag
goldsmith, the one with the highest goldsmith_release. docs/decisions/0009 says why.
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from goldsmith.errors import PublishError
from goldsmith.spec.model import Retired

TAG = "goldsmith"
RECORD_TAG = "goldsmith-record"  # and never TAG: a record is no image to boot
PREFIX = "goldsmith_"
BUILD_ID, SHA256 = f"{PREFIX}build_id", f"{PREFIX}sha256"
ALIAS, NUMBER, STATE = f"{PREFIX}alias", f"{PREFIX}release", f"{PREFIX}state"
FORMAT = f"{PREFIX}format"  # as it was sent; Glance may have converted it
PREVIOUS = f"{PREFIX}previous"  # ID of the image that held the alias before
RUN = f"{PREFIX}run"  # of the publication that created the image: a random word
MOVE, SINCE = f"{PREFIX}move", f"{PREFIX}since"  # number and time of the move that gave it the alias
HISTORY = f"{PREFIX}history"  # of a record: the moves of the alias, see moves.py
OWN = f"{PREFIX}properties"  # names of the properties that we set, separated by commas
_IDS = uuid.UUID("5b0ed0a5-8f3e-4d0c-9a53-6d1b0c1f2a77")


class State(enum.StrEnum):
    staged = enum.auto()  # being published: private, hidden, never under the alias
    released = enum.auto()  # holds the alias, or held it


@dataclass(frozen=True, kw_only=True, slots=True)
class GlanceImage:
    """An image as Glance shows it; sizes in bytes, min_disk in GiB, min_ram in MiB."""

    id: str
    name: str
    status: str
    owner: str
    visibility: str
    hidden: bool
    protected: bool
    tags: frozenset[str]
    properties: Mapping[str, str]
    size: int | None
    disk_format: str
    hash_algo: str | None
    hash_value: str | None
    created: str  # ISO 8601, UTC, by Glance's clock
    min_disk: int
    min_ram: int

    @property
    def build_id(self) -> str:
        return self.properties.get(BUILD_ID, "")

    @property
    def number(self) -> int:
        """Counts up with each release under an alias; 0 for an image that is not ours."""
        return self._count(NUMBER)

    @property
    def move(self) -> int:
        """Number of the latest move that gave it the alias; 0 where none was counted."""
        return self._count(MOVE)

    def _count(self, key: str) -> int:
        text = self.properties.get(key, "")
        return int(text) if text.isdecimal() else 0

    @property
    def is_released(self) -> bool:
        return self.properties.get(STATE) == State.released

    @property
    def is_ours(self) -> bool:
        """A release, staged or released, that goldsmith made."""
        return TAG in self.tags and bool(self.build_id) and self.number > 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseLine:
    """The releases of one spec under one alias, and how old ones are retired."""

    name: str  # of the spec
    alias: str
    protected: bool = False
    keep: int = 3
    retired: Retired = Retired.hidden

    def release_name(self, build_id: str) -> str:
        """The name of an image that does not hold the alias."""
        return f"{self.name}-{build_id}"


def image_id(project: str, alias: str, number: int) -> str:
    """The ID of a release's image: if two publishers take the same number, Glance refuses the second."""
    return str(uuid.uuid5(_IDS, f"{project}/{alias}/{number}"))


def holder(images: Iterable[GlanceImage], alias: str) -> GlanceImage | None:
    """The image that holds the alias, by the rule; None where none does.

    Raises PublishError where releases of several projects do.
    """
    found = [
        image
        for image in images
        if image.name == alias and image.is_ours and image.status == "active" and not image.hidden
    ]
    if len({image.owner for image in found}) > 1:
        owners = ", ".join(sorted({image.owner for image in found}))
        raise PublishError(
            f"releases of several projects have the name {alias}: {owners}",
            hint="name one project: --project ID",
        )
    return max(found, key=lambda image: image.number, default=None)


def from_api(data: Mapping[str, Any]) -> GlanceImage:
    """From an image of Glance's API v2 (https://docs.openstack.org/api-ref/image/v2/)."""
    known = {
        "id", "name", "status", "owner", "visibility", "os_hidden", "protected", "tags", "size",
        "disk_format", "os_hash_algo", "os_hash_value", "created_at", "min_disk", "min_ram", "updated_at",
        "container_format", "virtual_size", "checksum", "self", "file", "schema", "locations", "direct_url",
    }  # fmt: skip
    return GlanceImage(
        id=data["id"], name=data.get("name") or "", status=data["status"],
        owner=data.get("owner") or "", visibility=data["visibility"],
        hidden=bool(data.get("os_hidden")), protected=bool(data["protected"]),
        tags=frozenset(data.get("tags", ())),
        properties={key: str(value) for key, value in data.items() if key not in known},
        size=data.get("size"), disk_format=data.get("disk_format") or "", hash_algo=data.get("os_hash_algo"),
        hash_value=data.get("os_hash_value"), created=data["created_at"],
        min_disk=data.get("min_disk") or 0, min_ram=data.get("min_ram") or 0,
    )  # fmt: skip
