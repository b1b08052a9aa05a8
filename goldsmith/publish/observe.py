# SPDX-License-Identifier: Apache-2.0
"""Read the current state of a release line from a cloud, by calls of Glance and Nova that change nothing."""

from __future__ import annotations

from collections.abc import Iterable

from goldsmith.publish import moves, release
from goldsmith.publish.glance import Glance
from goldsmith.publish.model import CurrentState
from goldsmith.publish.release import GlanceImage, ReleaseLine


def current_state(
    glance: Glance,
    line: ReleaseLine,
    *,
    interrupted_runs: frozenset[str] = frozenset(),
    with_use: bool = True,
) -> CurrentState:
    """What a cloud has of a release line. Raises PublishError.

    interrupted_runs: see CurrentState; with_use: ask Nova which images are in use.
    """
    own, now = own_images(glance), glance.now()
    images = tuple(i for i in own if i.is_ours and line.alias in (i.name, i.properties.get(release.ALIAS)))
    ours = {image.id for image in images}
    named = [*images_named(glance, line.alias, tag=""), *(i for i in own if i.name == line.alias)]
    records = [image for image in own if _is_record(image, line)]
    return CurrentState(
        project=glance.project, now=now, images=images, interrupted_runs=interrupted_runs,
        records=_by_build(image for image in records if image.status == "active"),
        histories=histories_of(records),
        unfinished_records=tuple(image for image in records if image.status != "active"),
        foreign=tuple({image.id: image for image in named if image.id not in ours}.values()),
        members={image.id: glance.members(image.id) for image in images if image.visibility == "shared"},
        in_use=_in_use(glance, images) if with_use else None,
        mover=moves.here(glance.user, glance.project_name),
    )  # fmt: skip


def own_images(glance: Glance) -> list[GlanceImage]:
    """All images of the project, hidden ones too. Raises PublishError."""
    return [
        image
        for hidden in ("false", "true")
        for image in glance.images({"owner": glance.project, "os_hidden": hidden})
    ]


def images_named(
    glance: Glance, name: str, *, tag: str = release.TAG, visibility: str = ""
) -> list[GlanceImage]:
    """What any user finds who looks up a name. Raises PublishError.

    Images that Glance lists to administrators alone are left out. Community images of other projects are
    found only if visibility is "community".
    """
    query = {"name": name, "tag": tag, "visibility": visibility}
    found = glance.images({key: value for key, value in query.items() if value})
    return [image for image in found if _is_for_us(glance, image)]


def _is_for_us(glance: Glance, image: GlanceImage) -> bool:
    if image.owner == glance.project or image.visibility not in ("private", "shared"):
        return True
    return glance.has_accepted(image.id)


def _is_record(image: GlanceImage, line: ReleaseLine) -> bool:
    return release.RECORD_TAG in image.tags and image.properties.get(release.ALIAS) == line.alias


def histories_of(records: Iterable[GlanceImage]) -> dict[str, str]:
    """Build ID -> moves of the alias that a record of it holds; of several records, the longest text."""
    texts = ((image.build_id, image.properties.get(release.HISTORY, "")) for image in records)
    return dict(sorted(texts, key=lambda found: len(found[1])))


def _by_build(records: Iterable[GlanceImage]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for image in records:
        found[image.build_id] = (*found.get(image.build_id, ()), image.id)
    return found


def _in_use(glance: Glance, images: Iterable[GlanceImage]) -> frozenset[str] | None:
    """IDs of the released images that servers were made from; None where we may not see all servers."""
    found = {image.id: glance.nova.any_server_of(image.id) for image in images if image.is_released}
    if None in found.values():
        return None
    return frozenset(image for image, used in found.items() if used)
