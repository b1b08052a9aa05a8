# SPDX-License-Identifier: Apache-2.0
"""What a cloud holds of a spec: its releases, what is left of broken publications, and the alias."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from goldsmith.core import progress
from goldsmith.errors import PublishError
from goldsmith.publish import canary, journal, planner, release
from goldsmith.publish.glance import Glance
from goldsmith.publish.model import Found
from goldsmith.publish.records import Records
from goldsmith.publish.release import GlanceImage, Line

_COLUMNS = (
    "release", "build", "age", "size", "hash", "status", "visibility", "alias", "used", "kernel", "kubelet",
    "images",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One release. hash: ok or differs, by its record; ? where there is none, as for all that it says."""

    image: GlanceImage
    name: str
    age: datetime.timedelta
    hash: str
    alias: bool
    used: bool | None
    kernel: str
    kubelet: str
    images: int | None

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        held = self.image
        return {
            "name": self.name, "image": held.id, "release": held.number, "build_id": held.build_id,
            "created": held.created, "size": held.size, "hash": self.hash, "status": held.status,
            "visibility": held.visibility, "hidden": held.hidden, "protected": held.protected,
            "alias": self.alias, "in_use": self.used, "kernel": self.kernel, "kubelet": self.kubelet,
            "images": self.images, "released": held.is_released,
        }  # fmt: skip

    def cells(self) -> tuple[str, ...]:
        """As they are printed."""
        held = self.image
        used = "?" if self.used is None else "yes" if self.used else "no"
        seen = f"{held.visibility}{', hidden' if held.hidden else ''}"
        images = "?" if self.images is None else str(self.images)
        return (
            str(held.number), held.build_id, _age(self.age), progress.human_bytes(held.size or 0), self.hash,
            held.status if held.is_released else "staged", seen, "<-" if self.alias else "", used,
            self.kernel, self.kubelet, images,
        )  # fmt: skip


def rows(glance: Glance, line: Line, records: Records) -> list[Row]:
    """The newest release first; what is staged stands among them."""
    found = glance.look(line)
    known = records.of_cloud(glance, found)
    holder = release.holder(found.images, line.alias)
    ordered = sorted(found.images, key=lambda image: image.number, reverse=True)
    return [_row(image, found, known, line, is_holder=image == holder) for image in ordered]


def table(found: Sequence[Row]) -> str:
    """For people; an empty text where there is nothing."""
    lines = [_COLUMNS, *(row.cells() for row in found)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
    shown = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in shown) if found else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Orphan:
    """What a publication left that was broken off: an image, a record, or the server of a canary."""

    id: str
    kind: str
    name: str
    created: str = ""

    def as_dict(self) -> dict[str, str]:
        """For --json."""
        return {"id": self.id, "kind": self.kind, "name": self.name, "created": self.created}


def orphans(glance: Glance, line: Line, kept: journal.Journal, *, everything: bool) -> list[Orphan]:
    """What no publication will go on with; everything: also what another machine may be at."""
    found = glance.look(line, dead=kept.begun())
    return [*left(found, everything=everything), *_servers(glance, found, line, everything=everything)]


def left(found: Found, *, everything: bool = False) -> list[Orphan]:
    """Images and records that no publication will go on with."""
    staged = [i for i in found.images if not i.is_released and (everything or planner.is_dead(found, i))]
    half = [i for i in found.half_records if everything or planner.is_dead(found, i)]
    builds = {image.build_id for image in found.images if image not in staged}
    lone = [each for build, ids in found.records.items() if build not in builds for each in ids]
    return [
        *(Orphan(id=i.id, kind="image", name=i.name, created=i.created) for i in staged),
        *(Orphan(id=i.id, kind="record", name=i.name, created=i.created) for i in half),
        *(Orphan(id=each, kind="record", name="of no release") for each in lone),
    ]


def _servers(glance: Glance, found: Found, line: Line, *, everything: bool) -> list[Orphan]:
    """Canaries, where no publication is under way that could have one."""
    live = [i for i in found.images if not i.is_released and not planner.is_dead(found, i)]
    servers = [] if live and not everything else canary.leftovers(glance, line.alias)
    return [Orphan(id=each, kind="server", name="of a canary") for each in servers]


def resolve(glance: Glance, line: Line, *, project: str = "", build: str = "") -> GlanceImage:
    """The image that the alias stands for, or a certain build of the line. Raises PublishError."""
    if build:
        found = glance.look(line)
        image = next((i for i in found.images if i.build_id == build and i.is_released), None)
        what = f"no release {build} under {line.alias}"
    else:
        image = _named(glance, line.alias, project) or _named(glance, line.alias, project, "community")
        what = f"no release called {line.alias}"
    if image is None:
        raise PublishError(f"{glance.cloud}: there is {what}", hint="see: scripts/inv images")
    return image


def _named(glance: Glance, alias: str, project: str, visibility: str = "") -> GlanceImage | None:
    named = glance.named(alias, visibility=visibility)
    return release.holder([image for image in named if not project or image.owner == project], alias)


def _row(image: GlanceImage, found: Found, records: Records, line: Line, *, is_holder: bool) -> Row:
    record = records.get(image.build_id)
    manifest = (record or {}).get("manifest", {})
    return Row(
        image=image, name=line.release_name(image.build_id), alias=is_holder,
        age=found.now - datetime.datetime.fromisoformat(image.created),
        hash=_hash_state(image, record), used=None if found.in_use is None else image.id in found.in_use,
        kernel=" ".join(manifest.get("kernels", ())) or ("-" if record else "?"),
        kubelet=((manifest.get("kubelet") or {}).get("version") or "-") if record else "?",
        images=len(manifest["containers"]) if record else None,
    )  # fmt: skip


def _hash_state(image: GlanceImage, record: dict[str, Any] | None) -> str:
    held = (record or {}).get("glance")
    if held is None or image.hash_value is None:
        return "?"
    same = (image.size, image.hash_value) == (held["size"], held["hash_value"])
    return "ok" if same else "differs"


def _age(age: datetime.timedelta) -> str:
    return next(_ages(max(0, int(age.total_seconds()))))


def _ages(seconds: int) -> Iterator[str]:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            yield f"{seconds // length} {unit}"
    yield f"{seconds} s"
