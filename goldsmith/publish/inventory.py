# SPDX-License-Identifier: Apache-2.0
"""List what a cloud has of a release line: releases, leftovers of interrupted publications, the alias."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from goldsmith.core import progress
from goldsmith.core.documents import Document, about
from goldsmith.errors import PublishError
from goldsmith.publish import canary, journal, observe, planner, release
from goldsmith.publish.glance import Glance
from goldsmith.publish.model import CurrentState
from goldsmith.publish.records import Records, ReleaseRecord
from goldsmith.publish.release import GlanceImage, ReleaseLine

COLUMNS = (
    "release", "build", "age", "size", "hash", "status", "visibility", "alias", "used", "kernel", "kubelet",
    "images",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseRow:
    """A release, or an image that is being published."""

    name: Annotated[str, about("Name of the release, NAME-BUILD_ID.")]
    image: Annotated[str, about("ID of the image.")]
    release: Annotated[int, about("Number of the release.")]
    build_id: Annotated[str, about("ID of the build.")]
    created: Annotated[str, about("When the image was created, ISO 8601, by Glance's clock.")]
    size: Annotated[int | None, about("Bytes; null until it is uploaded.")]
    hash: Annotated[str, about("`ok` or `differs`: Glance's hash against the record; `?` without record.")]
    status: Annotated[str, about("Glance's status.")]
    visibility: Annotated[str, about("Glance's visibility.")]
    hidden: Annotated[bool, about("Whether lists leave it out.")]
    protected: Annotated[bool, about("Whether Glance refuses to delete it.")]
    alias: Annotated[bool, about("Whether it holds the alias.")]
    in_use: Annotated[
        bool | None, about("Whether a server was made from it; null if we may not list all servers.")
    ]
    kernel: Annotated[str, about("Kernels, separated by spaces; `-` for none, `?` without record.")]
    kubelet: Annotated[str, about("Version of the kubelet; `-` for none, `?` without record.")]
    images: Annotated[int | None, about("Number of its container images; null without record.")]
    released: Annotated[bool, about("Whether it was released; false while it is being published.")]

    def cells(self, now: datetime.datetime) -> tuple[str, ...]:
        """Its cells in COLUMNS."""
        used = "?" if self.in_use is None else "yes" if self.in_use else "no"
        seen = f"{self.visibility}{', hidden' if self.hidden else ''}"
        images = "?" if self.images is None else str(self.images)
        age = _age(now - datetime.datetime.fromisoformat(self.created))
        return (
            str(self.release), self.build_id, age, progress.human_bytes(self.size or 0), self.hash,
            self.status if self.released else "staged", seen, "<-" if self.alias else "", used,
            self.kernel, self.kubelet, images,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """The releases of one cloud. now: by the cloud's clock."""

    now: datetime.datetime
    rows: tuple[ReleaseRow, ...]
    used_up: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagesAnswer(Document):
    """Answer of images."""

    SCHEMA: ClassVar[str] = "goldsmith.images"

    clouds: Annotated[
        Mapping[str, tuple[ReleaseRow, ...]], about("Name of a cloud -> its releases, the newest first.")
    ]
    used_up: Annotated[
        Mapping[str, tuple[int, ...]],
        about(
            "Name of a cloud -> numbers of which it has no image, and no release is known: those of "
            "interrupted publications. Clouds without any are left out."
        ),
    ] = field(default_factory=dict)
    errors: Annotated[Mapping[str, str], about("Name of a cloud that did not answer -> why.")] = field(
        default_factory=dict
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Orphan:
    """A leftover of an interrupted publication."""

    id: Annotated[str, about("ID of the image or server.")]
    kind: Annotated[str, about("`image`, `record` (an image too) or `server` (of a canary).")]
    name: Annotated[str, about("Name of the image, else a description.")]
    created: Annotated[str, about("When it was created, ISO 8601; empty if unknown.")] = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class OrphansAnswer(Document):
    """Answer of images with --orphans or --clean."""

    SCHEMA: ClassVar[str] = "goldsmith.orphans"

    cleaned: Annotated[bool, about("Whether the leftovers were deleted.")]
    clouds: Annotated[Mapping[str, tuple[Orphan, ...]], about("Name of a cloud -> its leftovers.")]
    errors: Annotated[Mapping[str, str], about("Name of a cloud that did not answer -> why.")] = field(
        default_factory=dict
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedImage(Document):
    """Answer of resolve."""

    SCHEMA: ClassVar[str] = "goldsmith.resolve"

    cloud: Annotated[str, about("Name of the cloud in clouds.yaml; empty: the cloud of OS_AUTH_URL.")]
    alias: Annotated[str, about("The alias.")]
    image: Annotated[str, about("ID of the image.")]
    release: Annotated[int, about("Number of the release.")]
    name: Annotated[str, about("Name of the release, NAME-BUILD_ID.")]
    build_id: Annotated[str, about("ID of the build.")]


def releases(glance: Glance, line: ReleaseLine, records: Records, kept: journal.Journal) -> Listing:
    """Releases and staged images, the newest first."""
    state = observe.current_state(glance, line)
    known = records.of_cloud(glance, state)
    holder = release.holder(state.images, line.alias)
    ordered = sorted(state.images, key=lambda image: image.number, reverse=True)
    rows = tuple(_row(image, state, known, line, is_holder=image == holder) for image in ordered)
    return Listing(now=state.now, rows=rows, used_up=used_up(state, line, kept.released()))


def used_up(state: CurrentState, line: ReleaseLine, known: Collection[int] = ()) -> tuple[int, ...]:
    """Numbers below the newest that no image has, without those of deleted releases as far as they are known.

    known: numbers of releases. Another one was released if it held the alias before an image that is still
    there, or is below the first release of which that is known.
    """
    numbers = {image.number for image in state.images}
    ids = {release.image_id(state.project, line.alias, n): n for n in range(1, max(numbers, default=0))}
    released = [image for image in state.images if image.is_released]
    if not released:
        return ()
    before = {image.number: image.properties.get(release.PREVIOUS) for image in released}
    oldest = before[min(before)]
    start = ids.get(oldest, min(before)) if oldest else 0
    others = {*numbers, *known, *(ids.get(each or "") for each in before.values())}
    return tuple(number for number in ids.values() if number > start and number not in others)


def orphans(glance: Glance, line: ReleaseLine, kept: journal.Journal, *, everything: bool) -> list[Orphan]:
    """What no publication will resume; everything: also what another machine may be publishing."""
    state = observe.current_state(glance, line, interrupted_runs=kept.begun())
    return [*leftovers(state, everything=everything), *_servers(glance, state, line, everything=everything)]


def leftovers(state: CurrentState, *, everything: bool = False) -> list[Orphan]:
    """Images and records that no publication will resume."""

    def is_left(image: GlanceImage) -> bool:
        return everything or planner.is_interrupted(state, image)

    staged = [image for image in state.images if not image.is_released and is_left(image)]
    half = [image for image in state.unfinished_records if is_left(image)]
    builds = {image.build_id for image in state.images if image not in staged}
    lone = [each for build, ids in state.records.items() if build not in builds for each in ids]
    return [
        *(Orphan(id=i.id, kind="image", name=i.name, created=i.created) for i in staged),
        *(Orphan(id=i.id, kind="record", name=i.name, created=i.created) for i in half),
        *(Orphan(id=each, kind="record", name="of no release") for each in lone),
    ]


def _servers(glance: Glance, state: CurrentState, line: ReleaseLine, *, everything: bool) -> list[Orphan]:
    """Canaries, where no publication is running that could have one."""
    running = [i for i in state.images if not i.is_released and not planner.is_interrupted(state, i)]
    servers = [] if running and not everything else canary.leftovers(glance.nova, line.alias)
    return [Orphan(id=each, kind="server", name="of a canary") for each in servers]


def resolve(glance: Glance, line: ReleaseLine, *, project: str = "", build: str = "") -> ResolvedImage:
    """The image that holds the alias, or a certain build of the line. Raises PublishError."""
    if build:
        state = observe.current_state(glance, line)
        image = next((i for i in state.images if i.build_id == build and i.is_released), None)
        what = f"no release {build} under {line.alias}"
    else:
        image = _holder(glance, line.alias, project) or _holder(glance, line.alias, project, "community")
        what = f"no release with the name {line.alias}"
    if image is None:
        raise PublishError(f"{glance.cloud}: there is {what}", hint="see: scripts/inv images")
    return ResolvedImage(
        cloud=glance.cloud, alias=line.alias, image=image.id, release=image.number,
        name=line.release_name(image.build_id), build_id=image.build_id,
    )  # fmt: skip


def _holder(glance: Glance, alias: str, project: str, visibility: str = "") -> GlanceImage | None:
    named = observe.images_named(glance, alias, visibility=visibility)
    return release.holder([image for image in named if not project or image.owner == project], alias)


def _row(
    image: GlanceImage, state: CurrentState, records: Records, line: ReleaseLine, *, is_holder: bool
) -> ReleaseRow:
    record = records.get(image.build_id)
    manifest = record.read_manifest() if record else None
    return ReleaseRow(
        name=line.release_name(image.build_id), image=image.id, release=image.number,
        build_id=image.build_id, created=image.created, size=image.size, hash=_hash_state(image, record),
        status=image.status, visibility=image.visibility, hidden=image.hidden, protected=image.protected,
        alias=is_holder, in_use=None if state.in_use is None else image.id in state.in_use,
        kernel=(" ".join(manifest.kernels) or "-") if manifest else "?",
        kubelet=(manifest.kubelet.version if manifest.kubelet else "-") if manifest else "?",
        images=len(manifest.containers) if manifest else None, released=image.is_released,
    )  # fmt: skip


def _hash_state(image: GlanceImage, record: ReleaseRecord | None) -> str:
    if record is None or record.glance is None or image.hash_value is None:
        return "?"
    return "ok" if record.glance.is_still(image) else "differs"


def _age(age: datetime.timedelta) -> str:
    return next(_ages(max(0, int(age.total_seconds()))))


def _ages(seconds: int) -> Iterator[str]:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            yield f"{seconds // length} {unit}"
    yield f"{seconds} s"
