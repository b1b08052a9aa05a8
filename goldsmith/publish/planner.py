# SPDX-License-Identifier: Apache-2.0
"""Plan a publication or a rollback in one cloud, from its current state and the desired release. Pure.

After a plan that was applied in part, the next plan has the rest; after one that was applied, nothing.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping

from goldsmith.core import build_folders
from goldsmith.errors import PublishError
from goldsmith.publish import moves, release
from goldsmith.publish.model import Action, CurrentState, DesiredRelease, Kind, Plan
from goldsmith.publish.moves import Move, MoveKind
from goldsmith.publish.release import GlanceImage, ReleaseLine
from goldsmith.spec.model import Canary, Retired, Visibility

LEFTOVER = "left over from an interrupted publication"
STALE = datetime.timedelta(hours=6)  # no publication takes that long: an older one was interrupted


def publish(
    state: CurrentState, desired: DesiredRelease, *, number: int = 0, run: str = "", checked: str = ""
) -> Plan:
    """The actions that make the desired release hold the alias.

    number: the lowest that a new release may take; run: release.RUN of an image that is created; checked: ID
    of an image that was compared and passed its canary just now.
    Raises PublishError where the alias is somebody else's, or that of a newer build, or another publication
    is running.
    """
    line = desired.line
    _require_free_name(state, line)
    current = release.holder(state.images, line.alias)
    _require_newer(desired, current)
    target, unfinished = _target(state, desired)
    half = [image for image in state.unfinished_records if is_interrupted(state, image)]
    actions = [_delete(image, LEFTOVER) for image in (*unfinished, *half)]
    notes = []
    if target is None:
        target = _new(state, desired, number, run)
        actions += _create_and_upload(target, desired)
    elif not target.is_released:
        actions += [] if target.id == checked else _complete(target, desired)
    elif target != current:
        actions += [] if target.id == checked else _recheck(target, line)
        notes.append(f"{target.build_id} was released before; it gets the alias back")
    if desired.records and not state.records.get(desired.build_id):
        actions.append(Action(kind=Kind.record, image=target.id, label=line.release_name(desired.build_id)))
    members = state.members.get(target.id, frozenset())
    actions += _settings(target, desired, members, is_current=target == current)
    previous = current.id if current and current != target else target.properties.get(release.PREVIOUS)
    history = _history(state, line, target, MoveKind.publish)
    actions += _move_alias(state, line, target, previous, history[-1])
    retired, kept = _retire(state, line, target, previous)
    return Plan(
        target=target, holder=current.id if current else "", actions=(*actions, *retired),
        notes=(*notes, *kept), history=history, record=_record(state, target),
    )  # fmt: skip


def rollback(
    state: CurrentState,
    line: ReleaseLine,
    *,
    to: str = "",
    visibility: Visibility | None = None,
    members: frozenset[str] = frozenset(),
) -> Plan:
    """The actions that give the alias back to the release before, or to the build `to`.

    visibility and members: who has to see it. Raises PublishError where there is no such release, or a
    publication is running.
    """
    _require_free_name(state, line)
    _require_alone(state, line)
    current = release.holder(state.images, line.alias)
    target = _rollback_target(state.images, line, current, to)
    actions = [] if target == current else _recheck(target, line)
    if visibility is not None:
        actions += _share(target, line, visibility, members, state.members.get(target.id, frozenset()))
    previous = target.properties.get(release.PREVIOUS)
    history = _history(state, line, target, MoveKind.rollback)
    actions += _move_alias(state, line, target, previous, history[-1])
    return Plan(
        target=target, holder=current.id if current else "", actions=tuple(actions), history=history,
        record=_record(state, target),
    )  # fmt: skip


def is_interrupted(state: CurrentState, image: GlanceImage) -> bool:
    """Whether the publication that staged an image was interrupted, as far as this machine can know."""
    age = state.now - datetime.datetime.fromisoformat(image.created)
    return image.properties.get(release.RUN) in state.interrupted_runs or age > STALE


def _require_free_name(state: CurrentState, line: ReleaseLine) -> None:
    if state.foreign:
        first = state.foreign[0]
        raise PublishError(
            f"the name {line.alias} belongs to another image, {first.id} of the project {first.owner}",
            hint="rename that image if it is yours, or set another name: key publish.alias",
        )


def _require_newer(desired: DesiredRelease, current: GlanceImage | None) -> None:
    """By when the builds began. The alias goes back on purpose alone: an older build has old packages."""
    if current is None or desired.may_be_older:
        return
    mine, theirs = (build_folders.started(each) for each in (desired.build_id, current.build_id))
    if mine is not None and theirs is not None and mine < theirs:
        alias = desired.line.alias
        raise PublishError(
            f"{alias} is {current.build_id}, a newer build than {desired.build_id}",
            hint="publish the newest build, go back with rollback, or add --allow-older-release",
        )


def _target(state: CurrentState, desired: DesiredRelease) -> tuple[GlanceImage | None, list[GlanceImage]]:
    """Our image of this build, if it can be used; and staged ones that have to go."""
    _require_alone(state, desired.line)
    staged = [image for image in state.images if not image.is_released]
    mine = [
        image
        for image in state.images
        if image.build_id == desired.build_id
        and image.properties.get(release.FORMAT) == desired.disk_format
        and (image.is_released or image.properties.get(release.RUN) in state.interrupted_runs)
    ]
    usable = [image for image in mine if image.is_released or image.status in ("queued", "active")]
    target = max(usable, key=lambda image: (image.is_released, image.number), default=None)
    return target, [image for image in staged if image != target]


def _require_alone(state: CurrentState, line: ReleaseLine) -> None:
    for image in state.images:
        if not image.is_released and not is_interrupted(state, image):
            raise PublishError(
                f"somebody else has been publishing {image.build_id} under {line.alias} since "
                f"{image.created} (image {image.id})",
                hint="wait for it; if it was interrupted: scripts/inv images --orphans --clean --force",
            )


def _recheck(target: GlanceImage, line: ReleaseLine) -> list[Action]:
    """How a release is checked before it gets the alias back."""
    is_off = target.status == "deactivated"
    kinds = [Kind.activate, Kind.check] if is_off else [Kind.check]
    return [Action(kind=kind, image=target.id, label=_label(target, line)) for kind in kinds]


def _new(state: CurrentState, desired: DesiredRelease, number: int, run: str) -> GlanceImage:
    number = max([number, *(image.number + 1 for image in state.images), 1])
    properties = {
        **desired.all_properties(), release.NUMBER: str(number), release.STATE: release.State.staged.value,
        release.RUN: run,
    }  # fmt: skip
    return GlanceImage(
        id=release.image_id(state.project, desired.line.alias, number), status="queued", owner=state.project,
        name=desired.line.release_name(desired.build_id), visibility="private", hidden=True, protected=False,
        tags=frozenset({release.TAG, *desired.tags}), properties=properties, size=None, created="",
        disk_format=desired.disk_format, hash_algo=None, hash_value=None, min_disk=desired.min_disk,
        min_ram=desired.min_ram,
    )  # fmt: skip


def _create_and_upload(target: GlanceImage, desired: DesiredRelease) -> list[Action]:
    label = target.name
    detail = f"release {target.number}, private and hidden"
    create = Action(kind=Kind.create, image=target.id, label=label, detail=detail)
    return [create, *_complete(target, desired)]


def _complete(target: GlanceImage, desired: DesiredRelease) -> list[Action]:
    """Upload, comparison and canary, as far as a staged image lacks them."""
    steps = [] if target.status == "active" else [Kind.upload]
    steps += [Kind.check, *([] if desired.canary is Canary.none else [Kind.canary])]
    details = {Kind.upload: f"{desired.disk_format}, {desired.size} bytes", Kind.canary: desired.canary.value}
    return [
        Action(kind=kind, image=target.id, label=target.name, detail=details.get(kind, "")) for kind in steps
    ]


def _settings(
    target: GlanceImage, desired: DesiredRelease, members: frozenset[str], *, is_current: bool
) -> list[Action]:
    """Properties, tags and visibility as desired; a new image is still hidden then."""
    properties = desired.all_properties()
    gone = set(target.properties.get(release.OWN, "").split(",")) - {"", *properties}
    changes: dict[str, tuple[object, object]] = {
        key: (target.properties.get(key), value)
        for key, value in properties.items()
        if target.properties.get(key) != value
    }
    changes |= {key: (target.properties[key], None) for key in gone if key in target.properties}
    changes |= _differing("min_disk", target.min_disk, desired.min_disk)
    changes |= _differing("min_ram", target.min_ram, desired.min_ram)
    if missing := {release.TAG, *desired.tags} - target.tags:
        changes["tags"] = (sorted(target.tags), sorted(target.tags | missing))
    if is_current:
        changes |= _differing("protected", target.protected, desired.line.protected)
    actions = [_change(target, desired.line, changes)] if changes else []
    return [*actions, *_share(target, desired.line, desired.visibility, desired.members, members)]


def _share(
    target: GlanceImage,
    line: ReleaseLine,
    visibility: Visibility,
    projects: frozenset[str],
    members: frozenset[str],
) -> list[Action]:
    """Visibility and shares as desired; only an image whose visibility is shared has members."""
    changes = _differing("visibility", target.visibility, visibility.value)
    actions = [_change(target, line, changes)] if changes else []
    steps = [(Kind.offer, one) for one in sorted(projects - members)]
    steps += [(Kind.withdraw, one) for one in sorted(members - projects)]
    if visibility is Visibility.shared:
        actions += [
            Action(kind=kind, image=target.id, label=_label(target, line), detail=one) for kind, one in steps
        ]
    return actions


def _move_alias(
    state: CurrentState, line: ReleaseLine, target: GlanceImage, previous: str | None, move: Move
) -> list[Action]:
    """The alias to target: first target gets the name, in one call, then the image that had it loses it.

    Before that, the move is kept in target's record; the call counts it.
    """
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
        for key, value in ((release.MOVE, str(move.number)), (release.SINCE, move.at)):
            changes |= _differing(key, target.properties.get(key), value)
        detail = f"move {move.number}, {move.kind}"
        actions.append(Action(kind=Kind.history, image=target.id, label=_label(target, line), detail=detail))
        actions.append(_change(target, line, changes))
    others = [image for image in state.images if image.is_released and image.id != target.id]
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


def _history(state: CurrentState, line: ReleaseLine, target: GlanceImage, kind: MoveKind) -> tuple[Move, ...]:
    """The moves of the alias, with the one to target at the end."""
    current = release.holder(state.images, line.alias)
    move = Move(
        number=moves.latest(state.images) + 1, at=f"{state.now:%Y-%m-%dT%H:%M:%SZ}", kind=kind,
        build_id=target.build_id, image=target.id, release=target.number,
        before=current.build_id if current else "", by=state.mover,
    )  # fmt: skip
    return (*moves.history(state.images, state.histories), move)


def _record(state: CurrentState, target: GlanceImage) -> str:
    """ID of the target's record in Glance; empty where there is none yet."""
    return next(iter(state.records.get(target.build_id, ())), "")


def _retire(
    state: CurrentState, line: ReleaseLine, target: GlanceImage, previous: str | None
) -> tuple[list[Action], list[str]]:
    """Delete old releases beyond those to keep, where nobody can be using them; notes on the others."""
    others = [image for image in state.images if image.is_released and image.id != target.id]
    others.sort(key=lambda image: (image.id == previous, image.number), reverse=True)
    back = 1 if others and others[0].id == previous else 0
    kept, old = others[: max(line.keep, back)], others[max(line.keep, back) :]
    actions, notes = [], []
    for image in old:
        why = _why_not_delete(state, line, image)
        if why:
            notes.append(f"{line.release_name(image.build_id)} is hidden, not deleted: {why}")
            kept.append(image)
            continue
        actions.append(_delete(image, f"old release {image.number}", label=line.release_name(image.build_id)))
        for record in state.records.get(image.build_id, ()):
            actions.append(Action(kind=Kind.delete, image=record, label=f"the record of {image.build_id}"))
    if line.retired is Retired.deactivated:
        actions += [
            Action(kind=Kind.deactivate, image=image.id, label=line.release_name(image.build_id))
            for image in kept
            if image.status == "active" and image.id != previous
        ]
    return actions, notes


def _why_not_delete(state: CurrentState, line: ReleaseLine, image: GlanceImage) -> str:
    if image.protected and not (line.protected and image.name == line.alias):
        return "it is protected"
    if state.in_use is None:
        return "we may not see all servers, and one could be using it"
    return "a server uses it" if image.id in state.in_use else ""


def _rollback_target(
    images: Iterable[GlanceImage], line: ReleaseLine, current: GlanceImage | None, to: str
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


def _change(image: GlanceImage, line: ReleaseLine, changes: Mapping[str, tuple[object, object]]) -> Action:
    return Action(kind=Kind.change, image=image.id, label=_label(image, line), changes=changes)


def _label(image: GlanceImage, line: ReleaseLine) -> str:
    return line.release_name(image.build_id)


def _differing(key: str, old: object, new: object) -> dict[str, tuple[object, object]]:
    return {} if old == new else {key: (old, new)}
