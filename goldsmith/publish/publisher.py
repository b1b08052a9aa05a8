# SPDX-License-Identifier: Apache-2.0
"""Publish a verified build of a spec to its clouds, roll back, list releases: what the tasks call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from goldsmith.changes import build_diff
from goldsmith.changes.build_diff import BuildDiff
from goldsmith.core import build_folders, progress, runs
from goldsmith.core.runs import Run
from goldsmith.errors import GoldsmithError, PublishError, SpecError
from goldsmith.image import finished_build
from goldsmith.image.finished_build import Build, DiskFile
from goldsmith.provenance import glance_signature
from goldsmith.publish import (
    apply,
    desired,
    inventory,
    journal,
    moves,
    observe,
    planner,
    records,
    release,
    signature_policy,
)
from goldsmith.publish.apply import Job, Outcome
from goldsmith.publish.glance import Glance
from goldsmith.publish.inventory import Listing, Orphan, ResolvedImage
from goldsmith.publish.journal import Journal
from goldsmith.publish.model import CurrentState, Limits, Plan
from goldsmith.publish.operations import lines, release_diff
from goldsmith.publish.records import Records, ReleaseRecord
from goldsmith.publish.release import ReleaseLine
from goldsmith.scan.osv import Database
from goldsmith.spec.model import ImageSpec, PublishCloud

DEADLINE_S = 7200
MOST_S = 18000  # less than planner.STALE, after which others take a publication for interrupted


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """See the help of the task publish. deadline_s: of one cloud's publication."""

    out: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    clouds: tuple[str, ...] = ()
    build: str = ""
    records: Path | None = None
    deadline_s: float = DEADLINE_S
    signed_by: Path | None = None
    accept_unsigned: str = ""
    reason: str = ""
    may_be_older: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class CloudResult:
    """The result in one cloud; error is None if it went well. diff: from the release that had the alias."""

    cloud: str
    seconds: float = 0.0
    error: GoldsmithError | None = None
    outcome: Outcome | None = None
    plan: Plan | None = None
    diff: BuildDiff | None = None
    listing: Listing | None = None
    orphans: tuple[Orphan, ...] | None = None


class Publisher:
    """One spec, its build and its clouds; or an alias, whose releases are looked at and rolled back."""

    def __init__(self, name: str, options: Options, *, needs_clouds: bool = True) -> None:
        if not 0 < options.deadline_s <= MOST_S:
            raise SpecError(
                f"a deadline has to be between 1 and {MOST_S} seconds", hint="set --deadline SECONDS"
            )
        if len(options.reason) > moves.LONGEST_REASON:
            raise SpecError(
                f"a reason has at most {moves.LONGEST_REASON} characters, not {len(options.reason)}",
                hint="give a shorter --reason, such as the number of a ticket",
            )
        self.options = options
        self.named = lines.named(name, options.variables, options.clouds)
        self.line = self.named.line
        self.folder = options.out / self.line.name
        self.clouds = self.named.clouds
        if needs_clouds:
            lines.require_clouds(self.named)
        self.records = Records(out=options.out, name=self.line.name, folder=options.records)
        self.stop = threading.Event()

    @property
    def spec(self) -> ImageSpec:
        """Raises SpecError where the name is an alias, of which no spec is here."""
        return self.named.require_spec()

    def publish(self) -> list[CloudResult]:
        """One result for each cloud, in their order. Raises errors that concern them all."""
        build, disks = self._disks()
        with runs.run(out=self.options.out) as run:
            return self._everywhere(lambda cloud: self._publish(cloud, build, disks[cloud.format], run))

    def plan(self) -> list[CloudResult]:
        """What publish() would do. Changes nothing."""
        build, disks = self._disks()
        with runs.run(out=self.options.out) as run:
            return self._everywhere(lambda cloud: self._plan(cloud, build, disks[cloud.format], run))

    def rollback(self, to: str) -> list[CloudResult]:
        """Give the alias back to the release before, or to the build `to`."""
        return self._everywhere(lambda cloud: self._rollback(cloud, to))

    def plan_rollback(self, to: str) -> list[CloudResult]:
        """What rollback() would do. Changes nothing."""
        return self._everywhere(lambda cloud: self._plan_rollback(cloud, to))

    def images(self) -> list[CloudResult]:
        """Each cloud's releases."""
        return self._everywhere(self._images)

    def orphans(self, *, clean: bool, force: bool) -> list[CloudResult]:
        """Each cloud's leftovers of interrupted publications; clean: those that were removed."""
        return self._everywhere(lambda cloud: self._orphans(cloud, clean=clean, force=force))

    def resolve(self, *, project: str, build: str) -> ResolvedImage:
        """The image that holds the alias in the first of the clouds, or a build's."""
        glance, line = Glance(self.clouds[0].name), self.line
        if self.named.spec is None and (state := observe.current_state(glance, line, with_use=False)).images:
            line = self.named.found_in(state, glance.cloud)
        return inventory.resolve(glance, line, project=project, build=build)

    def _images(self, cloud: PublishCloud) -> CloudResult:
        glance = Glance(cloud.name)
        line, known = self._line_in(glance)
        listing = inventory.releases(glance, line, known, self._journal(cloud, glance))
        return CloudResult(cloud=cloud.name, listing=listing)

    def _orphans(self, cloud: PublishCloud, *, clean: bool, force: bool) -> CloudResult:
        with journal.locked(self.folder, cloud.name):
            glance = Glance(cloud.name)
            entries = self._journal(cloud, glance)
            left = inventory.orphans(glance, self.line, entries, everything=force)
            found = tuple(each for each in left if not clean or _remove(each, glance, entries))
        return CloudResult(cloud=cloud.name, orphans=found)

    def _disks(self) -> tuple[Build, dict[Any, DiskFile]]:
        policy = signature_policy.choose(
            self.spec.publish, self.options.signed_by, self.options.accept_unsigned
        )
        folder = build_folders.find_build(self.options.out, self.spec.name, self.options.build)
        build = finished_build.read(folder, name=self.spec.name)
        policy.require(folder)
        formats = {cloud.format for cloud in self.clouds}
        return build, {format_: finished_build.disk(build, format_.value) for format_ in sorted(formats)}

    def _everywhere(self, call: Callable[[PublishCloud], CloudResult]) -> list[CloudResult]:
        """In all clouds in parallel; a failure in one does not affect the others.

        An interrupt reaches the main thread alone: self.stop tells the others, which undo what they did.
        """

        def one(cloud: PublishCloud) -> CloudResult:
            start = time.monotonic()
            try:
                return call(cloud)
            except (GoldsmithError, OSError) as e:
                error = lines.failure(cloud.name, e)
                return CloudResult(cloud=cloud.name, error=error, seconds=round(time.monotonic() - start, 1))

        return lines.in_parallel(self.clouds, one, interrupted=self.stop.set)

    def _publish(self, cloud: PublishCloud, build: Build, disk: DiskFile, run: Run) -> CloudResult:
        start = time.monotonic()
        with journal.locked(self.folder, cloud.name):
            job = self._job(cloud, build, disk, run)
            state = observe.current_state(job.glance, self.line)
            outcome = apply.publish(job)
            diff = self._diff(job.glance, state, build)
        return CloudResult(
            cloud=cloud.name, outcome=outcome, diff=diff, seconds=round(time.monotonic() - start, 1)
        )

    def _plan(self, cloud: PublishCloud, build: Build, disk: DiskFile, run: Run) -> CloudResult:
        job = self._job(cloud, build, disk, run)
        plan = apply.plan(job)
        diff = self._diff(job.glance, observe.current_state(job.glance, self.line), build)
        return CloudResult(cloud=cloud.name, plan=plan, diff=diff)

    def _rollback(self, cloud: PublishCloud, to: str) -> CloudResult:
        start = time.monotonic()
        with journal.locked(self.folder, cloud.name):
            planned = self._planned_rollback(cloud, to)
            planned.journal.begin_rollback(planned.plan.target.build_id, planned.holder)
            outcome = apply.roll_back(planned.glance, planned.line, planned.records, planned.plan)
            planned.journal.end_rollback()
        return CloudResult(cloud=cloud.name, outcome=outcome, seconds=round(time.monotonic() - start, 1))

    def _plan_rollback(self, cloud: PublishCloud, to: str) -> CloudResult:
        planned = self._planned_rollback(cloud, to)
        known = planned.records
        diff = None
        if planned.holder and planned.holder != planned.plan.target.build_id:
            diff = _noted_diff(
                lambda: known.get(planned.holder), lambda: known.get(planned.plan.target.build_id)
            )
        return CloudResult(cloud=cloud.name, plan=planned.plan, diff=diff)

    def _planned_rollback(self, cloud: PublishCloud, to: str) -> _PlannedRollback:
        glance = Glance(cloud.name)
        entries = self._journal(cloud, glance)
        state = observe.current_state(glance, self.line, interrupted_runs=entries.begun())
        line = self.named.found_in(state, cloud.name)
        known = replace(self.records, name=line.name)
        state = known.with_histories(state)
        state = replace(state, mover=replace(state.mover, reason=self.options.reason))
        holder = release.holder(state.images, line.alias)
        to = to or entries.unfinished_rollback(holder.build_id if holder else "")
        visibility, members = self.named.visibility_in(cloud, state)
        return _PlannedRollback(
            glance=glance, line=line, journal=entries, records=known.of_cloud(glance, state),
            holder=holder.build_id if holder else "",
            plan=planner.rollback(state, line, to=to, visibility=visibility, members=members),
        )  # fmt: skip

    def _line_in(self, glance: Glance) -> tuple[ReleaseLine, Records]:
        """The line as a cloud has it, and its records."""
        if self.named.spec is not None:
            return self.line, self.records
        state = observe.current_state(glance, self.line, with_use=False)
        line = self.named.found_in(state, glance.cloud)
        return line, replace(self.records, name=line.name)

    def _journal(self, cloud: PublishCloud, glance: Glance) -> Journal:
        return Journal(folder=self.folder, cloud=cloud.name, project=glance.project)

    def _job(self, cloud: PublishCloud, build: Build, disk: DiskFile, run: Run) -> Job:
        glance = Glance(cloud.name)
        return Job(
            build=build, disk=disk, cloud=cloud, records=self.records, glance=glance, scratch=run,
            journal=self._journal(cloud, glance),
            desired=desired.release(
                self.spec, self.line, cloud, build, disk, glance_signature.kept(build.folder, disk.sha256),
                may_be_older=self.options.may_be_older,
            ),
            limits=Limits(until=time.monotonic() + self.options.deadline_s, stop=self.stop),
        )  # fmt: skip

    def _diff(self, glance: Glance, before: CurrentState, build: Build) -> BuildDiff | None:
        """What changed since the release that held the alias; None without one, or without its record."""
        holder = release.holder(before.images, self.line.alias)
        if holder is None or holder.build_id == build.id:
            return None
        known = self.records.of_cloud(glance, before)
        return _noted_diff(lambda: known.get(holder.build_id), lambda: records.of_build(build.folder))


@dataclass(frozen=True, kw_only=True, slots=True)
class _PlannedRollback:
    """A rollback in one cloud. holder: the build that has the alias, or empty."""

    glance: Glance
    line: ReleaseLine
    journal: Journal
    records: Records
    holder: str
    plan: Plan


def _noted_diff(
    old: Callable[[], ReleaseRecord | None], new: Callable[[], ReleaseRecord | None]
) -> BuildDiff | None:
    """The changes between two records; None where one is not known or cannot be read, which is noted."""
    try:
        before, after = old(), new()
        return build_diff.between(before.contents(), after.contents()) if before and after else None
    except PublishError as e:  # the notes are not what counts
        progress.note(f"no release notes: {e}")
        return None


def difference(
    name: str, options: Options, old: str, new: str, database: Database | None = None
) -> BuildDiff:
    """What changed between two builds, which may be here, in a folder of records, or in a cloud.

    database: where advisories are looked up.
    """
    publisher = Publisher(name, options, needs_clouds=False)
    found = {build: publisher.records.get(build) for build in (old, new)}
    if None in found.values() and publisher.clouds:
        glance = Glance(publisher.clouds[0].name)
        state = observe.current_state(glance, publisher.line, with_use=False)
        there = publisher.records.of_cloud(glance, state)
        found = {build: known or there.get(build) for build, known in found.items()}
    before, after = (_known(found[build], build, publisher) for build in (old, new))
    return release_diff.between(before, after, database)


def _known(record: ReleaseRecord | None, build: str, publisher: Publisher) -> ReleaseRecord:
    if record is None:
        raise SpecError(
            f"there is no record of the build {build} of {publisher.line.name}",
            hint="name a cloud or a folder that has its record: --cloud NAME, --record DIR",
        )
    return record


def _remove(orphan: Orphan, glance: Glance, entries: Journal) -> bool:
    """False where the cloud refuses, with a note."""
    try:
        if orphan.kind == "server":
            glance.nova.delete(orphan.id)
        else:
            glance.delete(orphan.id)
            entries.forget_image(orphan.id)
    except PublishError as e:
        progress.note(f"{orphan.id} stays: {e}")
        return False
    return True


class Result(Protocol):
    """What one cloud answered. error: why it did not."""

    @property
    def cloud(self) -> str: ...

    @property
    def error(self) -> GoldsmithError | None: ...


def require(results: Sequence[Result], *, changed: bool = True) -> None:
    """Raise PublishError where a cloud failed: its own error where it is the only one, else a table.

    changed: the same call again does what is missing; false for questions, which change nothing.
    """
    failed = [result for result in results if result.error]
    if not failed:
        return
    if len(results) == 1 and failed[0].error:
        raise failed[0].error
    errors = [result.error for result in failed if result.error]
    verdicts = {error.retryable for error in errors}
    retryable = False if False in verdicts else True if verdicts == {True} else None
    raise PublishError(
        f"{len(failed)} of {len(results)} clouds failed{''.join(map(_row, results))}",
        hint=("run this again when they answer" if retryable
              else "correct what each cloud names, then run this again")
        + (": it does what is missing" if changed else ""),
        retryable=retryable,
    )  # fmt: skip


def _row(result: Result) -> str:
    hint = f" ({result.error.hint})" if result.error and result.error.hint else ""
    return f"\n  | {result.cloud:<16} {result.error or 'done'}{hint}"
