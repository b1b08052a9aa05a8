# SPDX-License-Identifier: Apache-2.0
"""What a plan of publishing is made of: what a cloud has, and the steps that change it."""

from __future__ import annotations

import datetime
import enum
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from goldsmith.errors import PublishError
from goldsmith.publish.release import GlanceImage


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """When a publication has to end. until: time.monotonic() of its deadline; stop: set by an interrupt."""

    until: float
    stop: threading.Event

    def left_s(self) -> float:
        """Seconds until the deadline, and never less than none."""
        return max(0.0, self.until - time.monotonic())

    def require(self, what: str) -> None:
        """Raise PublishError, what being the state of things, past the deadline or when interrupted."""
        if self.stop.is_set():
            raise PublishError(f"interrupted: {what}")
        if not self.left_s():
            raise PublishError(f"{what} at the deadline")


class Kind(enum.StrEnum):
    create = enum.auto()
    upload = enum.auto()
    check = enum.auto()  # size and hash, as Glance has them
    canary = enum.auto()
    record = enum.auto()
    change = enum.auto()  # one call of Glance's API
    offer = enum.auto()  # to a project
    withdraw = enum.auto()
    activate = enum.auto()
    deactivate = enum.auto()
    delete = enum.auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """One step. changes: Glance's name of an attribute or property -> before and after; None is absent."""

    kind: Kind
    image: str  # its ID
    label: str  # how a person knows it
    changes: Mapping[str, tuple[object, object]] = field(default_factory=dict)
    detail: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "action": self.kind.value, "image": self.image, "label": self.label, "detail": self.detail,
            "changes": {key: {"before": old, "after": new} for key, (old, new) in self.changes.items()},
        }  # fmt: skip

    def lines(self) -> Iterator[str]:
        """As a diff, to read."""
        sign = {Kind.create: "+", Kind.delete: "-", Kind.change: "~"}.get(self.kind, "=")
        yield f"{sign} {self.kind.value:<10} {self.label} {self.image}" + (
            f"  ({self.detail})" if self.detail else ""
        )
        for key, (old, new) in self.changes.items():
            yield f"      {key}: {_shown(old)} -> {_shown(new)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """actions in their order; target is the image that holds the alias afterwards, as it is now.

    Where the first steps are to create it, target is as it will be then. holder is the ID of the image that
    holds the alias now, or empty.
    """

    target: GlanceImage
    holder: str
    actions: tuple[Action, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What one cloud has, seen with our credentials."""

    project: str
    now: datetime.datetime  # by the cloud's clock
    images: tuple[GlanceImage, ...]  # of this alias and this project, released and staged
    records: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # build ID -> IDs of images
    half_records: tuple[GlanceImage, ...] = ()  # whose upload was broken off, or is under way
    strangers: tuple[GlanceImage, ...] = ()  # called like the alias, and none of ours
    members: Mapping[str, frozenset[str]] = field(default_factory=dict)  # image ID -> projects
    in_use: frozenset[str] | None = None  # IDs; None: we may not see all servers
    dead: frozenset[str] = frozenset()  # release.RUN of publications that were broken off on this machine


def _shown(value: object) -> str:
    return "(none)" if value is None else str(value)
