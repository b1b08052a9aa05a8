# SPDX-License-Identifier: Apache-2.0
"""Glance in memory, with the methods of publish.glance.Glance: one image changes at a time."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from goldsmith.errors import PublishError
from goldsmith.publish.nova import Server
from goldsmith.publish.release import GlanceImage

_FIELDS = {"os_hidden": "hidden"}
_ATTRIBUTES = ("name", "os_hidden", "visibility", "protected", "min_disk", "min_ram")


class FakeNova:
    """Servers, by ID of their image. is_admin: this user may list those of all projects."""

    def __init__(self) -> None:
        self.made: dict[str, list[Server]] = {}
        self.is_admin = False

    def any_server_of(self, image: str) -> bool | None:
        return bool(self.made.get(image)) if self.is_admin else None

    def servers_of(self, image: str) -> tuple[list[Server], bool]:
        return self.made.get(image, []), self.is_admin


class FakeGlance:
    """The images of one cloud.."""

    def __init__(self, cloud: str, *, user: str = "alice") -> None:
        self.cloud, self.user = cloud, user
        self.project, self.project_name = f"id-of-{cloud}", "ops"
        self.nova = FakeNova()
        self.stored: dict[str, GlanceImage] = {}
        self.contents: dict[str, bytes] = {}
        self.time = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)

    def now(self) -> datetime.datetime:
        """Each look at the clock takes a minute."""
        self.time += datetime.timedelta(minutes=1)
        return self.time

    def get(self, image: str, *, retries: int = 0) -> GlanceImage | None:
        return self.stored.get(image)

    def create(self, image: GlanceImage) -> bool:
        if image.id in self.stored:
            return False
        self.stored[image.id] = dataclasses.replace(image, created=self.time.isoformat())
        return True

    def upload(
        self, image: str, data: Iterable[bytes] | bytes, *, to: str = "file", answer_s: float = 0
    ) -> None:
        content = data if isinstance(data, bytes) else b"".join(data)
        self.contents[image] = content
        self.set(
            image, status="active", size=len(content), hash_algo="sha512",
            hash_value=hashlib.sha512(content).hexdigest(),
        )  # fmt: skip

    def set(self, image: str, **changes: Any) -> None:
        self.stored[image] = dataclasses.replace(self.stored[image], **changes)

    def change(self, image: str, changes: Mapping[str, tuple[object, object]]) -> None:
        for key, (_, new) in changes.items():
            if key in _ATTRIBUTES:
                self.set(image, **{_FIELDS.get(key, key): new})
            elif key == "tags":
                self.set(image, tags=frozenset(new))  # type: ignore[call-overload]
            else:
                properties = {**self.stored[image].properties, key: new}
                self.set(image, properties={k: v for k, v in properties.items() if v is not None})

    def delete(self, image: str) -> None:
        self.stored.pop(image, None)

    def content(self, image: str) -> Iterator[bytes]:
        if image not in self.contents:
            raise PublishError(f"{self.cloud}: cannot download {image}")
        yield self.contents[image]

    def images(self, query: Mapping[str, str]) -> list[GlanceImage]:
        hidden = query.get("os_hidden") == "true"
        return [
            image
            for image in self.stored.values()
            if image.hidden == hidden
            and query.get("name", image.name) == image.name
            and query.get("owner", image.owner) == image.owner
            and ("tag" not in query or query["tag"] in image.tags)
            and ("visibility" not in query or query["visibility"] == image.visibility)
        ]

    def members(self, image: str) -> frozenset[str]:
        return frozenset()

    def has_accepted(self, image: str) -> bool:
        return False

    def import_failure(self, image: str) -> str:
        return ""

    def quota_left(self) -> int | None:
        return None

    def property_definitions(self) -> dict[str, dict[str, Any]]:
        return {}
