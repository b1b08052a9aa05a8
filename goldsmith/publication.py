# SPDX-License-Identifier: Apache-2.0
"""One publication to one cloud: the plan carried out, and undone where a step fails before the alias.

Until the alias moves, nobody sees anything; what was brought in is removed again when a step fails. After
that, nothing is undone: the same call again finishes what is missing.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace

from goldsmith import buildrecord, canary, cloudapi, progress, propertycheck, publishplan, release
from goldsmith.buildrecord import Build, DiskFile
from goldsmith.carryout import Outcome, Steps
from goldsmith.errors import PublishError
from goldsmith.glance import Glance
from goldsmith.journal import Journal
from goldsmith.publishstep import Action, Kind, Limits, Plan
from goldsmith.records import Records
from goldsmith.release import GlanceImage, Wanted
from goldsmith.spec import PublishCloud
from goldsmith.transfer import Transfer
from goldsmith.workspace import Run

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
                if action.detail == publishplan.LEFT:  # while its note is still there
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
        plan = publishplan.publish(found, wanted, number=number, run=self.run_id, checked=checked)
        if self.wanted.properties and any(_sets_properties(action) for action in plan.actions):
            propertycheck.require(self.wanted.properties, self.glance)
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
        data = buildrecord.record(self.job.build, self.job.disk, about)
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
                if cloudapi.status_of(e) is None:  # nobody answers: do not ask for each
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
