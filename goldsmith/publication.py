# SPDX-License-Identifier: Apache-2.0
"""One publication to one cloud: the plan carried out, and undone where a step fails before the alias.

Until the alias moves, nobody sees anything; what was brought in is removed again when a step fails. After
that, nothing is undone: the same call again finishes what is missing.
"""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, replace

from goldsmith import buildrecord, canary, cloudapi, glance, progress, propertycheck, publishplan, release
from goldsmith.buildrecord import Build, DiskFile
from goldsmith.carryout import Outcome, Steps
from goldsmith.errors import CommandError, PublishError
from goldsmith.glance import Glance
from goldsmith.journal import Journal
from goldsmith.publishstep import Action, Kind, Plan
from goldsmith.records import Records
from goldsmith.release import GlanceImage, Wanted
from goldsmith.sending import Sending
from goldsmith.spec import PublishCloud
from goldsmith.workspace import Run

_TRIES = 3
_SETTLE_S = 30  # until Glance has noticed that an upload was broken off


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What is published, where and how. until: time.monotonic() of the deadline."""

    build: Build
    disk: DiskFile
    wanted: Wanted
    cloud: PublishCloud
    until: float
    stop: threading.Event  # set where somebody wants all of this to end
    records: Records


class Publication(Steps):
    """One run of a job. Raises PublishError, and what a canary raises."""

    def __init__(self, job: Job, to: Glance, journal: Journal, run: Run) -> None:
        super().__init__(to, job.wanted.line)
        self.job, self.journal, self.scratch, self.wanted = job, journal, run, job.wanted
        self.held: GlanceImage | None = None  # as Glance has it, once it was compared
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
        """Plan, and carry it out."""
        try:
            plan = self._begin()
            for action in plan.actions:
                if self.job.stop.is_set():
                    raise PublishError(f"{self.glance.cloud}: interrupted")
                self.do(action)
        except BaseException:
            self._undo()
            raise
        self.journal.end(self.wanted.build_id, plan.target.id, plan.target.number)
        return self.finish(plan)

    def _begin(self) -> Plan:
        """The plan, and where it wants a new image, that image, which nobody else has."""
        number = 0
        while True:
            plan = self.plan(number)
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

    def plan(self, number: int = 0) -> Plan:
        """What would be done. Raises PublishError for what Glance's definitions and quota do not allow."""
        found = self.glance.look(self.line, dead=self.journal.begun())
        records = self.job.records
        wanted = self.wanted
        if records.folder:
            found = replace(found, records={})  # those in Glance do not count, and stay
            wanted = replace(wanted, records=not records.has_file(wanted.build_id))
        plan = publishplan.publish(found, wanted, number=number, run=self.run_id)
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
        self._send_or_fetch(action)
        self.outcome.upload_s = round(time.monotonic() - start, 2)

    def _send_or_fetch(self, action: Action) -> None:
        cloud = self.job.cloud
        if cloud.web_download:
            file = f"{self.line.name}/{self.wanted.build_id}/{self.job.disk.path.name}"
            uri = f"{cloud.web_download.rstrip('/')}/{file}"
            with progress.step(f"{self.glance.cloud}: Glance fetches {uri}"):
                self.glance.import_(action.image, {"name": "web-download", "uri": uri}, cloud.stores)
                glance.wait_active(self.glance, action.image, until=self.job.until)
            return
        with progress.step(f"{self.glance.cloud}: upload {self.job.disk.path.name}"):
            self._upload(action.image, to="stage" if cloud.stores else "file")
            if cloud.stores:
                self.glance.import_(action.image, {"name": "glance-direct"}, cloud.stores)
            glance.wait_active(self.glance, action.image, until=self.job.until)

    def _upload(self, image: str, *, to: str) -> None:
        for left in reversed(range(_TRIES)):
            sending = Sending(self.job.disk, self.glance.cloud, until=self.job.until, stop=self.job.stop)
            try:
                return self.glance.upload(image, sending, to=to)
            except PublishError as e:
                refused = cloudapi.status_of(e)
                if refused == 413:
                    raise PublishError(
                        f"{self.glance.cloud}: Glance has no room for {self.job.disk.path.name}: its store "
                        "is full, or the quota is used up",
                        hint="see: scripts/inv images",
                    ) from e
                if not left or sending.is_spoilt or (refused and 400 <= refused < 500):
                    raise
                progress.note(f"{e}; once more")
            if self._settled(image) == "active":
                return None
        raise AssertionError

    def _settled(self, image: str) -> str:
        """The status of an image after its upload was broken off: when Glance has noticed it."""
        until = time.monotonic() + _SETTLE_S
        while True:
            found = self.glance.get(image)
            if found is None or found.status in ("queued", "uploading", "active"):
                return found.status if found else "gone"
            if time.monotonic() > min(until, self.job.until):
                raise PublishError(f"{self.glance.cloud}: Glance still waits for the rest of {image}")
            time.sleep(1)

    def _check(self, action: Action) -> None:
        """Size and hash as Glance has them; where it has converted the image, its content."""
        found = glance.wait_active(self.glance, action.image, until=self.job.until)
        if found.disk_format != self.wanted.disk_format:
            self._compare_content(found)
        elif found.size != self.wanted.size or not self._has_hash(found):
            raise PublishError(
                f"{self.glance.cloud}: Glance holds other bytes than {self.job.disk.path.name} has: "
                f"{found.hash_algo} {found.hash_value}, {found.size} bytes (image {found.id})",
                hint="something between here and there changes data; nothing was published",
            )
        self.held = found

    def _has_hash(self, found: GlanceImage) -> bool:
        known = {"sha256": self.wanted.sha256, "sha512": self.wanted.sha512}
        if found.hash_algo is None:  # a Glance that hashes nothing: compare every byte
            return canary.sha512_of(self.glance, found.id) == self.wanted.sha512
        return found.hash_value == (known.get(found.hash_algo) or self.job.disk.hashed_by(found.hash_algo))

    def _compare_content(self, found: GlanceImage) -> None:
        with progress.step(f"{self.glance.cloud}: compare what Glance made of it, {found.disk_format}"):
            copy = self.scratch.folder / f"{found.id}.{found.disk_format}"
            try:
                canary.fetch(self.glance, found.id, copy)
                buildrecord.same(self.job.disk.path, self.job.disk.format, copy, found.disk_format)
            except CommandError as e:
                raise PublishError(
                    f"{self.glance.cloud}: Glance has converted {found.id} to something else: "
                    + " ".join(e.tail)
                ) from e
            finally:
                copy.unlink(missing_ok=True)

    def _canary(self, _action: Action) -> None:
        assert self.held is not None
        canary.try_out(
            self.glance, self.held, self.job.build, self.job.cloud, run=self.scratch, until=self.job.until
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
            self.glance.keep_record(self.wanted, data, self.created[-1])

    def change(self, action: Action) -> None:
        """From the moment in which the alias moves nothing is undone."""
        super().change(action)
        if action.changes.get("name", (None, None))[1] == self.line.alias:
            self.created.clear()

    def delete(self, action: Action) -> None:
        """With a release goes the note that keeps its build."""
        super().delete(action)
        self.journal.forget_image(action.image)

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
