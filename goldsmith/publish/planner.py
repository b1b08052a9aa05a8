# SPDX-License-Identifier: Apache-2.0
"""What a publication or a rollback would change in one cloud: pure, from what is there and what is wanted.

Carrying a plan out half way and planning again gives the other half; planning after the whole gives nothing.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping

from goldsmith.errors import PublishError
from goldsmith.publish import release
from goldsmith.publish.model import Action, Found, Kind, Plan
from goldsmith.publish.release import GlanceImage, Line, Wanted
from goldsmith.spec.model import Canary, Retired, Visibility

LEFT = "left by a publication that was broken off"
STALE = datetime.timedelta(hours=6)  # no publication takes that long: what is older was broken off


def publish(found: Found, wanted: Wanted, *, number: int = 0, run: str = "", checked: str = "") -> Plan:
    """From what is there to wanted under the alias. number: the lowest that a new release may take.

    run marks the image that is created as this publication's own; checked is the ID of an image that was
    compared and tried out just now.

    Raises PublishError where the alias is somebody else's, or another publication is under way.
    """
    line = wanted.line
    _require_free(found, line)
    current = release.holder(found.images, line.alias)
    target, unfinished = _target(found, wanted)
    half = [image for image in found.half_records if is_dead(found, image)]
    actions = [_delete(image, LEFT) for image in (*unfinished, *half)]
    notes = []
    if target is None:
        target = _new(found, wanted, number, run)
        actions += _brought_in(target, wanted)
    elif not target.is_released:
        actions += [] if target.id == checked else _finished(target, wanted)
    elif target != current:
        actions += [] if target.id == checked else _looked_at(target, line)
        notes.append(f"{target.build_id} was released before; it gets the alias back")
    if wanted.records and not found.records.get(wanted.build_id):
        actions.append(Action(kind=Kind.record, image=target.id, label=line.release_name(wanted.build_id)))
    members = found.members.get(target.id, frozenset())
    actions += _settled(target, wanted, members, is_current=target == current)
    previous = current.id if current and current != target else target.properties.get(release.PREVIOUS)
    actions += _moved(found.images, line, target, previous)
    retired, said = _retired(found, line, target, previous)
    return Plan(
        target=target,
        holder=current.id if current else "",
        actions=(*actions, *retired),
        notes=(*notes, *said),
    )


def rollback(
    found: Found,
    line: Line,
    *,
    to: str = "",
    visibility: Visibility | None = None,
    members: frozenset[str] = frozenset(),
) -> Plan:
    """The alias back to the release that held it before, or to the build `to`; seen by whom it should be.

    Raises PublishError where there is no such release, or a publication is under way.
    """
    _require_free(found, line)
    _require_alone(found, line)
    current = release.holder(found.images, line.alias)
    target = _rollback_target(found.images, line, current, to)
    actions = [] if target == current else _looked_at(target, line)
    if visibility is not None:
        actions += _seen_by(target, line, visibility, members, found.members.get(target.id, frozenset()))
    actions += _moved(found.images, line, target, target.properties.get(release.PREVIOUS))
    return Plan(target=target, holder=current.id if current else "", actions=tuple(actions))


def is_dead(found: Found, image: GlanceImage) -> bool:
    """Whether a publication that staged something was broken off, as far as can be known here."""
    age = found.now - datetime.datetime.fromisoformat(image.created)
    return image.properties.get(release.RUN) in found.dead or age > STALE


def _require_free(found: Found, line: Line) -> None:
    if found.strangers:
        first = found.strangers[0]
        raise PublishError(
            f"the name {line.alias} is that of another image, {first.id} of the project {first.owner}",
            hint="rename that image if it is yours, or choose another name: key publish.alias",
        )


def _target(found: Found, wanted: Wanted) -> tuple[GlanceImage | None, list[GlanceImage]]:
    """Our image of this build, if it can be gone on with; and unfinished ones that have to go."""
    _require_alone(found, wanted.line)
    staged = [image for image in found.images if not image.is_released]
    mine = [
        image
        for image in found.images
        if image.build_id == wanted.build_id
        and image.properties.get(release.FORMAT) == wanted.disk_format
        and (image.is_released or image.properties.get(release.RUN) in found.dead)
    ]
    usable = [image for image in mine if image.is_released or image.status in ("queued", "active")]
    target = max(usable, key=lambda image: (image.is_released, image.number), default=None)
    return target, [image for image in staged if image != target]


def _require_alone(found: Found, line: Line) -> None:
    for image in found.images:
        if not image.is_released and not is_dead(found, image):
            raise PublishError(
                f"{image.build_id} is being published under {line.alias} by somebody else since "
                f"{image.created} (image {image.id})",
                hint="wait for it; or, if it was broken off: scripts/inv images --orphans --clean --force",
            )


def _looked_at(target: GlanceImage, line: Line) -> list[Action]:
    """What is done with a release before it gets the alias back."""
    off = target.status == "deactivated"
    kinds = [Kind.activate, Kind.check] if off else [Kind.check]
    return [Action(kind=kind, image=target.id, label=_label(target, line)) for kind in kinds]


def _new(found: Found, wanted: Wanted, number: int, run: str) -> GlanceImage:
    number = max([number, *(image.number + 1 for image in found.images), 1])
    properties = {
        **wanted.all_properties(), release.NUMBER: str(number), release.STATE: release.State.staged.value,
        release.RUN: run,
    }  # fmt: skip
    return GlanceImage(
        id=release.image_id(found.project, wanted.line.alias, number), status="queued", owner=found.project,
        name=wanted.line.release_name(wanted.build_id), visibility="private", hidden=True, protected=False,
        tags=frozenset({release.TAG, *wanted.tags}), properties=properties, size=None, created="",
        disk_format=wanted.disk_format, hash_algo=None, hash_value=None, min_disk=wanted.min_disk,
        min_ram=wanted.min_ram,
    )  # fmt: skip


def _brought_in(target: GlanceImage, wanted: Wanted) -> list[Action]:
    label = target.name
    detail = f"release {target.number}, private and hidden"
    create = Action(kind=Kind.create, image=target.id, label=label, detail=detail)
    return [create, *_finished(target, wanted)]


def _finished(target: GlanceImage, wanted: Wanted) -> list[Action]:
    """What a staged image lacks to be trusted."""
    steps = [] if target.status == "active" else [Kind.upload]
    steps += [Kind.check, *([] if wanted.canary is Canary.none else [Kind.canary])]
    details = {Kind.upload: f"{wanted.disk_format}, {wanted.size} bytes", Kind.canary: wanted.canary.value}
    return [
        Action(kind=kind, image=target.id, label=target.name, detail=details.get(kind, "")) for kind in steps
    ]


def _settled(
    target: GlanceImage, wanted: Wanted, members: frozenset[str], *, is_current: bool
) -> list[Action]:
    """Properties, tags and visibility as wanted; while a new image is still hidden."""
    wants = wanted.all_properties()
    gone = set(target.properties.get(release.OWN, "").split(",")) - {"", *wants}
    changes: dict[str, tuple[object, object]] = {
        key: (target.properties.get(key), value)
        for key, value in wants.items()
        if target.properties.get(key) != value
    }
    changes |= {key: (target.properties[key], None) for key in gone if key in target.properties}
    changes |= _differing("min_disk", target.min_disk, wanted.min_disk)
    changes |= _differing("min_ram", target.min_ram, wanted.min_ram)
    if missing := {release.TAG, *wanted.tags} - target.tags:
        changes["tags"] = (sorted(target.tags), sorted(target.tags | missing))
    if is_current:
        changes |= _differing("protected", target.protected, wanted.line.protected)
    actions = [_change(target, wanted.line, changes)] if changes else []
    return [*actions, *_seen_by(target, wanted.line, wanted.visibility, wanted.members, members)]


def _seen_by(
    target: GlanceImage,
    line: Line,
    visibility: Visibility,
    wanted: frozenset[str],
    members: frozenset[str],
) -> list[Action]:
    """Visibility and shares as wanted; only an image whose visibility is shared has members."""
    changes = _differing("visibility", target.visibility, visibility.value)
    actions = [_change(target, line, changes)] if changes else []
    steps = [(Kind.offer, one) for one in sorted(wanted - members)]
    steps += [(Kind.withdraw, one) for one in sorted(members - wanted)]
    if visibility is Visibility.shared:
        actions += [
            Action(kind=kind, image=target.id, label=_label(target, line), detail=one) for kind, one in steps
        ]
    return actions


def _moved(
    images: Iterable[GlanceImage], line: Line, target: GlanceImage, previous: str | None
) -> list[Action]:
    """The alias to target: first it gets the name, in one call, then whoever else has it loses it."""
    actions = []
    if target.name != line.alias or target.hidden:
        changes: dict[str, tuple[object, object]] = {
            **_differing("name", target.name, line.alias),
            **_differing("os_hidden", target.hidden, False),
            **_differing(release.STATE, target.properties.get(release.STATE), release.State.released.value),
            **_differing("protected", target.protected, line.protected),
        }
        if previous:
            changes |= _differing(release.PREVIOUS, target.properties.get(release.PREVIOUS), previous)
        actions.append(_change(target, line, changes))
    others = [image for image in images if image.is_released and image.id != target.id]
    for image in sorted(others, key=lambda image: image.number):
        changes = {
            **_differing("name", image.name, line.release_name(image.build_id)),
            **_differing("os_hidden", image.hidden, True),
        }
        if line.protected and changes:
            changes |= _differing("protected", image.protected, False)
        if changes:
            actions.append(_change(image, line, changes))
    return actions


def _retired(
    found: Found, line: Line, target: GlanceImage, previous: str | None
) -> tuple[list[Action], list[str]]:
    """Old releases beyond those to keep are deleted where nobody can be using them."""
    others = [image for image in found.images if image.is_released and image.id != target.id]
    others.sort(key=lambda image: (image.id == previous, image.number), reverse=True)
    back = 1 if others and others[0].id == previous else 0
    kept, old = others[: max(line.keep, back)], others[max(line.keep, back) :]
    actions, notes = [], []
    for image in old:
        why = _why_not_delete(found, line, image)
        if why:
            notes.append(f"{line.release_name(image.build_id)} is only hidden: {why}")
            kept.append(image)
            continue
        actions.append(_delete(image, f"old release {image.number}", label=line.release_name(image.build_id)))
        for record in found.records.get(image.build_id, ()):
            actions.append(Action(kind=Kind.delete, image=record, label=f"the record of {image.build_id}"))
    if line.retired is Retired.deactivated:
        actions += [
            Action(kind=Kind.deactivate, image=image.id, label=line.release_name(image.build_id))
            for image in kept
            if image.status == "active" and image.id != previous
        ]
    return actions, notes


def _why_not_delete(found: Found, line: Line, image: GlanceImage) -> str:
    if image.protected and not (line.protected and image.name == line.alias):
        return "it is protected"
    if found.in_use is None:
        return "we may not see all servers, and one could be using it"
    return "a server uses it" if image.id in found.in_use else ""


def _rollback_target(
    images: Iterable[GlanceImage], line: Line, current: GlanceImage | None, to: str
) -> GlanceImage:
    released = {image.id: image for image in images if image.is_released}
    known = ", ".join(i.build_id for i in sorted(released.values(), key=lambda i: i.number) if i != current)
    if to:
        found = next((image for image in released.values() if image.build_id == to), None)
        what = f"no release {to} under {line.alias}"
    else:
        previous = current.properties.get(release.PREVIOUS, "") if current else ""
        found = released.get(previous)
        what = f"no release before {current.build_id}" if current else f"nothing under {line.alias}"
    if found is None or found.status not in ("active", "deactivated"):
        raise PublishError(f"there is {what} to roll back to", hint=f"there are: {known or 'none'}")
    return found


def _delete(image: GlanceImage, why: str, *, label: str = "") -> Action:
    return Action(kind=Kind.delete, image=image.id, label=label or image.name, detail=why)


def _change(image: GlanceImage, line: Line, changes: Mapping[str, tuple[object, object]]) -> Action:
    return Action(kind=Kind.change, image=image.id, label=_label(image, line), changes=changes)


def _label(image: GlanceImage, line: Line) -> str:
    return line.release_name(image.build_id)


def _differing(key: str, old: object, new: object) -> dict[str, tuple[object, object]]:
    return {} if old == new else {key: (old, new)}
