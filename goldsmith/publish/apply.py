# SPDX-License-Identifier: Apache-2.0
"""Apply plans to a cloud: publish a build, or roll back.

Nobody sees anything of a publication until the alias moves; if it fails before that, it is undone. From then
on nothing is undone: the same call again does what is missing.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from goldsmith.core import openstack, paths, progress
from goldsmith.core.runs import Run
from goldsmith.errors import PublishError
from goldsmith.image.finished_build import Build, DiskFile
from goldsmith.publish import canary, metadefs, moves, observe, planner, records, release
from goldsmith.publish.glance import Glance
from goldsmith.publish.journal import Journal
from goldsmith.publish.model import Action, DesiredRelease, Kind, Limits, Plan
from goldsmith.publish.records import Records
from goldsmith.publish.release import GlanceImage, ReleaseLine
from goldsmith.publish.upload import Transfer
from goldsmith.spec.model import PublishCloud

# What nobody sees. The other actions are planned again after these, which can take long.
_UNSEEN = (Kind.create, Kind.upload, Kind.activate, Kind.check, Kind.canary, Kind.record)
_OF_THE_ALIAS = ("name", "os_hidden", "protected", "visibility")


@dataclass(kw_only=True, slots=True)
class Outcome:
    """What a plan did in one cloud. two_names_s: seconds in which two images had the alias as their name.

    upload_s: seconds until Glance had the whole image. named_at: when the alias moved, by time.monotonic().
    """

    image: str = ""
    name: str = ""
    number: int = 0
    changed: bool = False
    notes: list[str] = field(default_factory=list)
    two_names_s: float | None = None
    upload_s: float | None = None
    named_at: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One build for one cloud, and what its publication needs."""

    build: Build
    disk: DiskFile
    desired: DesiredRelease
    cloud: PublishCloud
    limits: Limits
    records: Records
    glance: Glance
    journal: Journal
    scratch: Run


@dataclass(kw_only=True, slots=True)
class _Publication:
    """How far a job is. created: IDs of images that are removed if an action fails."""

    job: Job
    outcome: Outcome = field(default_factory=Outcome)
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    planned: Plan | None = None  # of the actions that are applied now
    created: list[str] = field(default_factory=list)
    held: GlanceImage | None = None  # as Glance has it, once it was compared

    @property
    def transfer(self) -> Transfer:
        job = self.job
        return Transfer(
            to=job.glance, disk=job.disk, desired=job.desired, cloud=job.cloud, limits=job.limits,
            scratch=job.scratch.folder,
        )  # fmt: skip


def publish(job: Job) -> Outcome:
    """Plan, create and upload the image, plan again, move the alias.

    Raises PublishError, and what a canary raises.
    """
    run = _Publication(job=job)
    line = job.desired.line
    try:
        run.planned = first = _begin(run)
        _apply_all(run, (action for action in first.actions if action.kind in _UNSEEN))
        run.planned = rest = plan(job, run_id=run.run_id, checked=first.target.id)
        if rest.holder != first.holder or rest.target.id != first.target.id:
            raise PublishError(
                f"{job.glance.cloud}: somebody else moved the alias {line.alias} during this publication",
                hint="see: scripts/inv images; then run this again",
            )
        _apply_all(run, rest.actions)
    except BaseException:
        _undo(run)
        raise
    job.journal.end(job.desired.build_id, rest.target.id, rest.target.number)
    job.journal.end_rollback()
    run.outcome.changed = bool(first.actions)
    return _finished(run.outcome, job.glance, line, rest, notes=(*first.notes, *rest.notes))


def plan(job: Job, *, number: int = 0, run_id: str = "", checked: str = "") -> Plan:
    """What publish() would do; the arguments are the planner's.

    Raises PublishError also for properties that Glance's definitions do not allow, and for a small quota.
    """
    line, desired = job.desired.line, job.desired
    state = observe.current_state(job.glance, line, interrupted_runs=job.journal.begun())
    if job.records.folder:
        # those in Glance do not count, and stay
        state = replace(job.records.with_histories(state), records={})
        desired = replace(desired, records=not job.records.has_file(desired.build_id))
    planned = planner.publish(state, desired, number=number, run=run_id, checked=checked)
    if desired.properties and any(_sets_properties(action) for action in planned.actions):
        metadefs.require(desired.properties, job.glance)
    if any(action.kind is Kind.upload for action in planned.actions):
        _require_quota(job)
    return planned


def roll_back(glance: Glance, line: ReleaseLine, known: Records, planned: Plan) -> Outcome:
    """Give the alias back to an older release, if Glance still holds what was published as that.

    A record that does not take the move is no reason to keep users on a bad release: it is noted.
    """
    outcome = Outcome(changed=bool(planned.actions))
    for action in planned.actions:
        if action.kind is Kind.check:
            _compare_with_record(action, glance, known, outcome)
        elif action.kind is Kind.history:
            try:
                _keep_history(planned, glance, known, outcome)
            except PublishError as e:
                outcome.notes.append(f"who moves the alias is not kept: {e}")
        else:
            _call(action, glance, line, outcome)
    return _finished(outcome, glance, line, planned, notes=planned.notes)


def _apply_all(run: _Publication, actions: Iterable[Action]) -> None:
    for action in actions:
        run.job.limits.require(f"{run.job.glance.cloud}: {action.kind} of {action.label} has not begun")
        _apply(run, action)


def _apply(run: _Publication, action: Action) -> None:
    """One action of a publication."""
    job = run.job
    match action.kind:
        case Kind.create:
            pass  # _begin() did it: the plan depends on it
        case Kind.upload:
            start = time.monotonic()
            run.transfer.upload(action.image)
            run.outcome.upload_s = round(time.monotonic() - start, 2)
        case Kind.check:
            run.held = run.transfer.check(action.image)
        case Kind.canary:
            assert run.held is not None
            canary.test(job.glance, run.held, job.build, job.cloud, run=job.scratch, limits=job.limits)
        case Kind.record | Kind.history:
            _store(run, action)
        case Kind.change:
            _call(action, job.glance, job.desired.line, run.outcome)
            if action.gives_name(job.desired.line.alias):
                run.created.clear()  # the alias has moved: nothing is undone any more
        case Kind.delete:
            if _call(action, job.glance, job.desired.line, run.outcome):
                job.journal.forget_image(action.image)  # it kept the build
        case _:
            _call(action, job.glance, job.desired.line, run.outcome)


def _call(action: Action, glance: Glance, line: ReleaseLine, outcome: Outcome) -> bool:
    """An action that is one call of Glance's API; False where the cloud refuses to delete an image."""
    match action.kind:
        case Kind.change:
            glance.change(action.image, action.changes)
            if action.gives_name(line.alias):
                outcome.named_at = time.monotonic()
            elif "name" in action.changes and outcome.named_at is not None:
                outcome.two_names_s = round(time.monotonic() - outcome.named_at, 3)
        case Kind.offer:
            glance.share(action.image, action.detail)
        case Kind.withdraw:
            glance.unshare(action.image, action.detail)
        case Kind.activate | Kind.deactivate:
            glance.activate(action.image, off=action.kind is Kind.deactivate)
        case Kind.delete:
            return _delete(action, glance, outcome)
        case _:
            raise AssertionError(action.kind)
    return True


def _delete(action: Action, glance: Glance, outcome: Outcome) -> bool:
    try:
        glance.delete(action.image)
    except PublishError as e:
        if openstack.status_of(e) not in (403, 409):
            raise
        outcome.notes.append(f"{action.label} stays: {e}")
        return False
    return True


def _finished(
    outcome: Outcome, glance: Glance, line: ReleaseLine, planned: Plan, *, notes: Iterable[str]
) -> Outcome:
    target = planned.target
    outcome.image, outcome.number = target.id, target.number
    outcome.name = line.release_name(target.build_id)
    outcome.notes += list(dict.fromkeys(notes))
    progress.note(f"{glance.cloud}: {line.alias} is {outcome.name}, release {target.number}")
    return outcome


def _begin(run: _Publication) -> Plan:
    """The plan; where it has a new image, that image is created, and nobody else has its ID."""
    job, number = run.job, 0
    while True:
        planned = plan(job, number=number, run_id=run.run_id)
        target = planned.target
        for action in planned.actions:
            if action.detail == planner.LEFTOVER:  # while its journal entry is still there
                job.glance.delete(action.image)
        if not target.is_released:
            job.journal.begin(job.desired.build_id, target.id, target.properties.get(release.RUN, ""))
        if not any(action.kind is Kind.create for action in planned.actions):
            run.created += [] if target.is_released else [target.id]
            return planned
        run.created.append(target.id)  # also where Glance's answer gets lost
        if _create(run, target):
            return planned
        run.created.clear()
        if (found := job.glance.get(target.id)) is not None:
            job.journal.forget(job.desired.build_id)
            raise PublishError(
                f"{job.glance.cloud}: somebody else is publishing {found.build_id}",
                hint="wait for it, then run this again",
            )
        number = target.number + 1  # it was taken once, and deleted


def _create(run: _Publication, target: GlanceImage) -> bool:
    """False where the image is somebody else's. It can be ours, from a request whose answer was lost."""
    if run.job.glance.create(target):
        return True
    found = run.job.glance.get(target.id)
    return found is not None and found.properties.get(release.RUN) == run.run_id


def _store(run: _Publication, action: Action) -> None:
    """The record of the build, or the moves of the alias in it."""
    job = run.job
    if action.kind is Kind.history:
        assert run.planned is not None
        _keep_history(run.planned, job.glance, job.records, run.outcome)
        return
    held = run.held or job.glance.get(action.image)
    assert held is not None
    data = records.of_release(job.build, job.disk, held).packed()
    if job.records.folder:
        job.records.put(job.desired.build_id, data)
    else:
        run.created.append(str(uuid.uuid4()))
        records.store(job.glance, job.desired, data, image=run.created[-1], run_id=run.run_id)


def _keep_history(planned: Plan, glance: Glance, known: Records, outcome: Outcome) -> None:
    """Store the moves of the alias, with that which comes next, in the record of the release."""
    text = moves.packed(planned.history)
    if known.folder:
        known.put_history(planned.target.build_id, text)
    elif planned.record:
        glance.change(planned.record, {release.HISTORY: (None, text)})
    else:
        outcome.notes.append(
            f"{planned.target.build_id} has no record in Glance: who moves the alias is not kept"
        )


def _compare_with_record(action: Action, glance: Glance, known: Records, outcome: Outcome) -> None:
    found = glance.get(action.image)
    if found is None or found.status != "active":
        raise PublishError(
            f"{glance.cloud}: {action.label} is {found.status if found else 'gone'}",
            hint="see: scripts/inv images; then run this again",
        )
    record = known.get(found.build_id)
    held = record.glance if record else None
    if held is None:
        outcome.notes.append(f"{action.label} has no record: what Glance holds was not compared")
    elif not held.is_still(found):
        raise PublishError(
            f"{glance.cloud}: Glance no longer holds what was published as {action.label}",
            hint="roll back to another release: scripts/inv images, then --to BUILD",
        )


def _undo(run: _Publication) -> None:
    """Remove what this publication has created, unless the alias may be on it already."""
    glance, left = run.job.glance, []
    for image in reversed(run.created):
        try:
            found = glance.get(image, retries=0)  # whoever interrupts us does not want to wait
            if found is not None and _is_removable(run, found):
                glance.delete(image)
        except PublishError as e:
            left.append(image)
            if openstack.status_of(e) is None:  # the cloud does not answer: do not ask for each
                left = run.created
                break
    if left:
        progress.note(
            f"{glance.cloud}: cannot remove {', '.join(left)} (private and hidden); "
            + paths.as_typed("the next publication does, or: scripts/inv images --orphans --clean")
        )
    elif run.created:
        run.job.journal.forget(run.job.desired.build_id)


def _is_removable(run: _Publication, image: GlanceImage) -> bool:
    """Nobody can be using it: it is a record, or this publication has staged or resumed it."""
    ours = image.properties.get(release.RUN) in run.job.journal.begun()
    return not image.is_ours or (ours and not image.is_released)


def _require_quota(job: Job) -> None:
    left, size = job.glance.quota_left(), job.desired.size
    if left is not None and left < size:
        raise PublishError(
            f"{job.glance.cloud}: the quota for images leaves {progress.human_bytes(left)}, and "
            f"{job.desired.build_id} has {progress.human_bytes(size)}",
            hint="ask for a larger quota, or delete images: scripts/inv images",
        )


def _sets_properties(action: Action) -> bool:
    return action.kind is Kind.create or any(
        key not in _OF_THE_ALIAS and not key.startswith(release.PREFIX) for key in action.changes
    )
