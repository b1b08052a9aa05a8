# SPDX-License-Identifier: Apache-2.0
"""Values of publishing: desired release, current state of a cloud, and the plan from one to the other."""

from __future__ import annotations

import datetime
import enum
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from goldsmith.errors import PublishError
from goldsmith.publish import release
from goldsmith.publish.moves import NOBODY, Move, Mover
from goldsmith.publish.release import GlanceImage, ReleaseLine
from goldsmith.spec.model import Canary, Visibility


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """When a publication has to end. until: time.monotonic() of its deadline; stop: set by an interrupt."""

    until: float
    stop: threading.Event

    def left_s(self) -> float:
        """Seconds until the deadline; 0 past it."""
        return max(0.0, self.until - time.monotonic())

    def require(self, what: str) -> None:
        """Raise PublishError past the deadline or when interrupted; what: the state that this leaves."""
        if self.stop.is_set():
            raise PublishError(f"interrupted: {what}", hint="run this again: it does what is missing")
        if not self.left_s():
            raise PublishError(f"{what} at the deadline", hint="run this again, with a longer --deadline")


@dataclass(frozen=True, kw_only=True, slots=True)
class DesiredRelease:
    """What a release has to be in one cloud; sizes in bytes, min_disk in GiB, min_ram in MiB."""

    line: ReleaseLine
    build_id: str
    disk_format: str
    size: int
    sha256: str
    sha512: str
    min_disk: int
    min_ram: int
    visibility: Visibility = Visibility.private
    standard: Mapping[str, str] = field(default_factory=dict)  # properties that follow from the spec
    properties: Mapping[str, str] = field(default_factory=dict)  # those that it lists
    tags: frozenset[str] = frozenset()
    members: frozenset[str] = frozenset()
    canary: Canary = Canary.none
    may_be_older: bool = False  # than the build that holds the alias
    records: bool = True  # the record of the build is kept in Glance, beside the image

    def all_properties(self) -> dict[str, str]:
        """Those of the spec, and ours that never change."""
        chosen = {**self.standard, **self.properties}
        return {
            **chosen,
            release.BUILD_ID: self.build_id,
            release.SHA256: self.sha256,
            release.ALIAS: self.line.alias,
            release.FORMAT: self.disk_format,
            release.OWN: ",".join(sorted(chosen)),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class CurrentState:
    """What one cloud has of a release line, as seen with our credentials."""

    project: str
    now: datetime.datetime  # by the cloud's clock
    images: tuple[GlanceImage, ...]  # of this alias and this project, released and staged
    records: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # build ID -> IDs of images
    histories: Mapping[str, str] = field(
        default_factory=dict
    )  # build ID -> moves in its record, see moves.py
    unfinished_records: tuple[GlanceImage, ...] = ()  # their upload was interrupted, or is running
    foreign: tuple[GlanceImage, ...] = ()  # images that have the alias as their name and are not ours
    members: Mapping[str, frozenset[str]] = field(default_factory=dict)  # image ID -> projects
    in_use: frozenset[str] | None = None  # IDs; None: we may not see all servers
    interrupted_runs: frozenset[str] = frozenset()  # release.RUN of this machine's interrupted publications
    mover: Mover = NOBODY  # ourselves


class Kind(enum.StrEnum):
    create = enum.auto()
    upload = enum.auto()
    check = enum.auto()  # size and hash, as Glance has them
    canary = enum.auto()
    record = enum.auto()
    history = enum.auto()  # of the alias, in the record, before it moves
    change = enum.auto()  # attributes and properties, in one call of Glance's API
    offer = enum.auto()  # share with a project
    withdraw = enum.auto()
    activate = enum.auto()
    deactivate = enum.auto()
    delete = enum.auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """One step. changes: Glance's name of an attribute or property -> before and after; None is absent."""

    kind: Kind
    image: str  # its ID
    label: str  # name of the release, for people
    changes: Mapping[str, tuple[object, object]] = field(default_factory=dict)
    detail: str = ""

    def gives_name(self, name: str) -> bool:
        """It renames the image to name."""
        return "name" in self.changes and self.changes["name"][1] == name

    def lines(self) -> Iterator[str]:
        """As a diff, for people."""
        sign = {Kind.create: "+", Kind.delete: "-", Kind.change: "~"}.get(self.kind, "=")
        yield f"{sign} {self.kind.value:<10} {self.label} {self.image}" + (
            f"  ({self.detail})" if self.detail else ""
        )
        for key, (old, new) in self.changes.items():
            yield f"      {key}: {_shown(old)} -> {_shown(new)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """actions in their order; target is the image that holds the alias afterwards, as it is now.

    Where the first actions create it, target is as it will be then. holder is the ID of the image that
    holds the alias now, or empty. history: the moves of the alias, the one of this plan last; record: ID of
    the target's record in Glance, or empty.
    """

    target: GlanceImage
    holder: str
    actions: tuple[Action, ...]
    notes: tuple[str, ...] = ()
    history: tuple[Move, ...] = ()
    record: str = ""


def _shown(value: object) -> str:
    return "(none)" if value is None else str(value)
