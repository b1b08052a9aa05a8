# SPDX-License-Identifier: Apache-2.0
"""One publication to one cloud: the plan carried out, and undone where a step fails before the alias.

Until the alias moves, nobody sees anything; what was brought in is removed again when a step fails. After
that, nothing is undone: the same call again finishes what is missing.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from goldsmith.core import openstack, progress
from goldsmith.core.scratch import Run
from goldsmith.errors import PublishError
from goldsmith.image.finished_build import Build, DiskFile
from goldsmith.publish import canary, metadefs, planner, records, release
from goldsmith.publish.glance import Glance
from goldsmith.publish.journal import Journal
from goldsmith.publish.model import Action, Kind, Limits, Plan
from goldsmith.publish.records import Records
from goldsmith.publish.release import GlanceImage, Line, Wanted
from goldsmith.publish.upload import Transfer
from goldsmith.spec.model import PublishCloud


@dataclass(kw_only=True, slots=True)
class Outcome:
    """What came of a plan in one cloud. moved_s: seconds in which two images carried the alias.

    upload_s: seconds until Glance had the whole image.
    """

    image: str = ""
    name: str = ""
    number: int = 0
    changed: bool = False
    notes: list[str] = field(default_factory=list)
    moved_s: float | None = None
    upload_s: float | None = None


class Steps:
    """Carries out single steps. Raises PublishError."""

    def __init__(self, glance: Glance, line: Line) -> None:
        self.glance, self.line = glance, line
        self.outcome = Outcome()
        self._named_at: float | None = None
        self._do: dict[Kind, Callable[[Action], object]] = {
            Kind.change: self.change,
            Kind.delete: self.delete,
            Kind.offer: lambda action: glance.offer(action.image, action.detail),
            Kind.withdraw: lambda action: glance.withdraw(action.image, action.detail),
            Kind.activate: lambda action: glance.activate(action.image),
            Kind.deactivate: lambda action: glance.activate(action.image, off=True),
        }

    def do(self, action: Action) -> None:
        """One step of a plan."""
        self._do[action.kind](action)

    def change(self, action: Action) -> None:
        """One call; how long two images carry the alias is noted."""
        self.glance.change(action.image, action.changes)
        if "name" not in action.changes:
            return
        if action.changes["name"][1] == self.line.alias:
            self._named_at = time.monotonic()
        elif self._named_at is not None:
            self.outcome.moved_s = round(time.monotonic() - self._named_at, 3)

    def delete(self, action: Action) -> bool:
        """What the cloud does not let go stays, and that is said; False where it does."""
        try:
            self.glance.delete(action.image)
        except PublishError as e:
            if openstack.status_of(e) not in (403, 409):
                raise
            self.outcome.notes.append(f"{action.label} stays: {e}")
            return False
        return True

    def finish(self, plan: Plan, *, notes: Iterable[str] = ()) -> Outcome:
        """The outcome, once every step was done."""
        target = plan.target
        self.outcome.image, self.outcome.number = target.id, target.number
        self.outcome.name = self.line.release_name(target.build_id)
        self.outcome.notes += list(dict.fromkeys(notes))
        progress.note(
            f"{self.glance.cloud}: {self.line.alias} is {self.outcome.name}, release {target.number}"
        )
        return self.outcome


class Rollback(Steps):
    """A release that is there already gets the alias back, if Glance still holds what was published."""

    def __init__(self, glance: Glance, line: Line, records: Records) -> None:
        super().__init__(glance, line)
        self.records = records
        self._do[Kind.check] = self._check

    def run(self, plan: Plan) -> Outcome:
        """All steps in their order."""
        for action in plan.actions:
            self.do(action)
        self.outcome.changed = bool(plan.actions)
        return self.finish(plan, notes=plan.notes)

    def _check(self, action: Action) -> None:
        found = self.glance.get(action.image)
        record = self.records.get(found.build_id) if found else None
        if found is None or found.status != "active":
            raise PublishError(f"{self.glance.cloud}: {action.label} is {found.status if found else 'gone'}")
        held = (record or {}).get("glance")
        if held is None:
            self.outcome.notes.append(f"{action.label} has no record: what Glance holds was not compared")
        elif (found.size, found.hash_value) != (held["size"], held["hash_value"]):
            raise PublishError(
                f"{self.glance.cloud}: Glance no longer holds what was published as {action.label}",
                hint="roll back to another release: scripts/inv images, then --to BUILD",
            )


_UNSEEN = (Kind.create, Kind.upload, Kind.activate, Kind.check, Kind.canary, Kind.record)


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What is published, where and how."""

    build: Build
    disk: DiskFile
    wanted: Wanted
    cloud: PublishCloud
    limits: Limits
    records: Records


class Publication(Steps):
    """One run of a job. Raises PublishError, and what a canary raises."""

    def __init__(self, job: Job, to: Glance, journal: Journal, run: Run) -> None:
        super().__init__(to, job.wanted.line)
        self.job, self.journal, self.scratch, self.wanted = job, journal, run, job.wanted
        self.held: GlanceImage | None = None  # as Glance has it, once it was compared
        self.transfer = Transfer(
            to=to, disk=job.disk, wanted=job.wanted, cloud=job.cloud, limits=job.limits, scratch=run.folder
        )
        self.created: list[str] = []  # what has to go if a step fails
        self.run_id = uuid.uuid4().hex
        self._do |= {
            Kind.create: lambda _: None,  # done with the plan, which depends on it
            Kind.upload: self._bring_in,
            Kind.check: self._check,
            Kind.canary: self._canary,
            Kind.record: self._record,
        }

    def run(self) -> Outcome:
        """Plan, bring the image in, look again, and move the alias."""
        try:
            plan = self._begin()
            # what nobody sees; the rest is planned again when that is done, which can take long
            self._carry_out(action for action in plan.actions if action.kind in _UNSEEN)
            again = self.plan(checked=plan.target.id)
            if again.holder != plan.holder or again.target.id != plan.target.id:
                raise PublishError(
                    f"{self.glance.cloud}: the alias {self.line.alias} was moved by somebody else meanwhile",
                    hint="see: scripts/inv images; then run this again",
                )
            self._carry_out(again.actions)
        except BaseException:
            self._undo()
            raise
        self.journal.end(self.wanted.build_id, again.target.id, again.target.number)
        self.journal.end_rollback()
        self.outcome.changed = bool(plan.actions)
        return self.finish(again, notes=(*plan.notes, *again.notes))

    def _carry_out(self, actions: Iterable[Action]) -> None:
        for action in actions:
            self.job.limits.require(f"{self.glance.cloud}: {action.kind} of {action.label} is not begun")
            self.do(action)

    def _begin(self) -> Plan:
        """The plan, and where it wants a new image, that image, which nobody else has."""
        number = 0
        while True:
            plan = self.plan(number)
            for action in plan.actions:
                if action.detail == planner.LEFT:  # while its note is still there
                    self.glance.delete(action.image)
            target = plan.target
            if not target.is_released:
                self.journal.begin(self.wanted.build_id, target.id, target.properties.get(release.RUN, ""))
            if not any(action.kind is Kind.create for action in plan.actions):
                self.created += [] if target.is_released else [target.id]
                return plan
            self.created.append(target.id)  # also where Glance's answer gets lost
            if self._create(target):
                return plan
            self.created.clear()
            if (found := self.glance.get(target.id)) is not None:
                self.journal.forget(self.wanted.build_id)
                raise PublishError(
                    f"{self.glance.cloud}: {found.build_id} is just being published by somebody else",
                    hint="wait for it, then run this again",
                )
            number = target.number + 1  # it was taken once, and deleted

    def _create(self, target: GlanceImage) -> bool:
        """False where the image is somebody else's. It can be ours, from a request whose answer was lost."""
        if self.glance.create(target):
            return True
        found = self.glance.get(target.id)
        return found is not None and found.properties.get(release.RUN) == self.run_id

    def plan(self, number: int = 0, *, checked: str = "") -> Plan:
        """What would be done. Raises PublishError for what Glance's definitions and quota do not allow."""
        found = self.glance.look(self.line, dead=self.journal.begun())
        records = self.job.records
        wanted = self.wanted
        if records.folder:
            found = replace(found, records={})  # those in Glance do not count, and stay
            wanted = replace(wanted, records=not records.has_file(wanted.build_id))
        plan = planner.publish(found, wanted, number=number, run=self.run_id, checked=checked)
        if self.wanted.properties and any(_sets_properties(action) for action in plan.actions):
            metadefs.require(self.wanted.properties, self.glance)
        if any(action.kind is Kind.upload for action in plan.actions):
            room = self.glance.room()
            if room is not None and room < self.wanted.size:
                raise PublishError(
                    f"{self.glance.cloud}: the quota for images leaves {progress.human_bytes(room)}, and "
                    f"{self.wanted.build_id} has {progress.human_bytes(self.wanted.size)}",
                    hint="have the quota raised, or delete images: scripts/inv images",
                )
        return plan

    def _bring_in(self, action: Action) -> None:
        start = time.monotonic()
        self.transfer.bring_in(action.image)
        self.outcome.upload_s = round(time.monotonic() - start, 2)

    def _check(self, action: Action) -> None:
        self.held = self.transfer.check(action.image)

    def _canary(self, _action: Action) -> None:
        assert self.held is not None
        canary.try_out(
            self.glance, self.held, self.job.build, self.job.cloud, run=self.scratch, limits=self.job.limits
        )

    def _record(self, action: Action) -> None:
        held = self.held or self.glance.get(action.image)
        assert held is not None
        about = {"size": held.size, "hash_algo": held.hash_algo, "hash_value": held.hash_value}
        data = records.record(self.job.build, self.job.disk, about)
        if self.job.records.folder:
            self.job.records.put(self.wanted.build_id, data)
        else:
            self.created.append(str(uuid.uuid4()))
            self.glance.keep_record(self.wanted, data, self.created[-1], self.run_id)

    def change(self, action: Action) -> None:
        """From the moment in which the alias moves nothing is undone."""
        super().change(action)
        if action.changes.get("name", (None, None))[1] == self.line.alias:
            self.created.clear()

    def delete(self, action: Action) -> bool:
        """With a release goes the note that keeps its build."""
        if super().delete(action):
            self.journal.forget_image(action.image)
            return True
        return False

    def _undo(self) -> None:
        """Remove what we have brought in, unless the alias may be on it already."""
        left = []
        for image in reversed(self.created):
            try:
                found = self.glance.get(image, retries=0)  # whoever interrupts us does not want to wait
                if found is not None and self._is_left(found):
                    self.glance.delete(image)
            except PublishError as e:
                left.append(image)
                if openstack.status_of(e) is None:  # nobody answers: do not ask for each
                    left = self.created
                    break
        if left:
            progress.note(
                f"{self.glance.cloud}: left there, private and hidden: {', '.join(left)}; "
                "the next publication removes it, or: scripts/inv images --orphans --clean"
            )
        elif self.created:
            self.journal.forget(self.wanted.build_id)

    def _is_left(self, image: GlanceImage) -> bool:
        """Nobody can be using it: it is a record, or what this publication has staged, or gone on with."""
        ours = image.properties.get(release.RUN) in self.journal.begun()
        return not image.is_ours or (ours and not image.is_released)


def _sets_properties(action: Action) -> bool:
    return action.kind is Kind.create or any(
        key not in ("name", "os_hidden", "protected", "visibility") and not key.startswith(release.PREFIX)
        for key in action.changes
    )
