# SPDX-License-Identifier: Apache-2.0
"""Publish a verified build of a spec to its clouds, roll back, list releases: what the tasks call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
from goldsmith.publish.operations import lines
from goldsmith.publish.records import Records, ReleaseRecord
from goldsmith.spec import load
from goldsmith.spec.model import PublishCloud

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
    """One spec, its build and its clouds."""

    def __init__(self, name: str, options: Options, *, needs_clouds: bool = True) -> None:
        if not 0 < options.deadline_s <= MOST_S:
            raise SpecError(
                f"a deadline has to be between 1 and {MOST_S} seconds", hint="set --deadline SECONDS"
            )
        self.options = options
        self.spec = load.load(name, options.variables).spec
        self.line = desired.line_of(self.spec)
        self.folder = options.out / self.spec.name
        self.clouds = desired.clouds_of(self.spec, options.clouds)
        if needs_clouds and not self.clouds:
            raise SpecError(
                f"the spec {self.spec.name} names no cloud to publish to",
                hint="name one: --cloud NAME, the key publish.clouds, or OS_CLOUD",
            )
        self.records = Records(out=options.out, name=self.spec.name, folder=options.records)
        self.stop = threading.Event()

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

    def images(self) -> list[CloudResult]:
        """Each cloud's releases."""
        return self._everywhere(self._images)

    def orphans(self, *, clean: bool, force: bool) -> list[CloudResult]:
        """Each cloud's leftovers of interrupted publications; clean: those that were removed."""
        return self._everywhere(lambda cloud: self._orphans(cloud, clean=clean, force=force))

    def resolve(self, *, project: str, build: str) -> ResolvedImage:
        """The image that holds the alias in the first of the clouds, or a build's."""
        return inventory.resolve(Glance(self.clouds[0].name), self.line, project=project, build=build)

    def _images(self, cloud: PublishCloud) -> CloudResult:
        glance = Glance(cloud.name)
        listing = inventory.releases(glance, self.line, self.records, self._journal(cloud, glance))
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
            glance = Glance(cloud.name)
            entries = self._journal(cloud, glance)
            state = observe.current_state(glance, self.line, interrupted_runs=entries.begun())
            state = self.records.with_histories(state)
            holder = release.holder(state.images, self.line.alias)
            to = to or entries.unfinished_rollback(holder.build_id if holder else "")
            visibility, members = desired.visibility_in(self.spec, cloud)
            plan = planner.rollback(state, self.line, to=to, visibility=visibility, members=members)
            entries.begin_rollback(plan.target.build_id, holder.build_id if holder else "")
            outcome = apply.roll_back(glance, self.line, self.records.of_cloud(glance, state), plan)
            entries.end_rollback()
        return CloudResult(cloud=cloud.name, outcome=outcome, seconds=round(time.monotonic() - start, 1))

    def _journal(self, cloud: PublishCloud, glance: Glance) -> Journal:
        return Journal(folder=self.folder, cloud=cloud.name, project=glance.project)

    def _job(self, cloud: PublishCloud, build: Build, disk: DiskFile, run: Run) -> Job:
        glance = Glance(cloud.name)
        return Job(
            build=build, disk=disk, cloud=cloud, records=self.records, glance=glance, scratch=run,
            journal=self._journal(cloud, glance),
            desired=desired.release(
                self.spec, self.line, cloud, build, disk, glance_signature.kept(build.folder, disk.sha256)
            ),
            limits=Limits(until=time.monotonic() + self.options.deadline_s, stop=self.stop),
        )  # fmt: skip

    def _diff(self, glance: Glance, before: CurrentState, build: Build) -> BuildDiff | None:
        """What changed since the release that held the alias; None without one, or without its record."""
        holder = release.holder(before.images, self.line.alias)
        if holder is None or holder.build_id == build.id:
            return None
        try:
            old = self.records.of_cloud(glance, before).get(holder.build_id)
            here = records.of_build(build.folder)
            return build_diff.between(old.contents(), here.contents()) if old else None
        except PublishError as e:  # the release is published, and that is what counts
            progress.note(f"no release notes: {e}")
            return None


def difference(name: str, options: Options, old: str, new: str) -> BuildDiff:
    """What changed between two builds, which may be here, in a folder of records, or in a cloud."""
    publisher = Publisher(name, options, needs_clouds=False)
    found = {build: publisher.records.get(build) for build in (old, new)}
    if None in found.values() and publisher.clouds:
        glance = Glance(publisher.clouds[0].name)
        there = publisher.records.of_cloud(glance, observe.current_state(glance, publisher.line))
        found = {build: known or there.get(build) for build, known in found.items()}
    return build_diff.between(*(_known(found[build], build, publisher).contents() for build in (old, new)))


def _known(record: ReleaseRecord | None, build: str, publisher: Publisher) -> ReleaseRecord:
    if record is None:
        raise SpecError(
            f"there is no record of the build {build} of {publisher.spec.name}",
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


def require(results: Sequence[Result]) -> None:
    """Raise PublishError where a cloud failed: its own error where it is the only one, else a table."""
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
        hint="run this again when they answer: it does what is missing" if retryable
        else "correct what each cloud names, then run this again: it does what is missing",
        retryable=retryable,
    )  # fmt: skip


def _row(result: Result) -> str:
    hint = f" ({result.error.hint})" if result.error and result.error.hint else ""
    return f"\n  | {result.cloud:<16} {result.error or 'done'}{hint}"
