# SPDX-License-Identifier: Apache-2.0
"""Publishing, from a spec and its verified build to each of its clouds: what the tasks call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goldsmith.core import builds, progress, scratch
from goldsmith.core.scratch import Run
from goldsmith.errors import GoldsmithError, HostError, PublishError, SpecError
from goldsmith.image import finished_build
from goldsmith.image.finished_build import Build, DiskFile
from goldsmith.provenance import glance_signature
from goldsmith.publish import (
    build_diff,
    canary,
    desired,
    inventory,
    journal,
    planner,
    records,
    release,
    trust,
)
from goldsmith.publish.apply import Job, Outcome, Publication, Rollback
from goldsmith.publish.glance import Glance
from goldsmith.publish.journal import Journal
from goldsmith.publish.model import Limits, Plan
from goldsmith.publish.records import Records
from goldsmith.spec import load
from goldsmith.spec.model import PublishCloud

DEADLINE_S = 7200
MOST_S = 18000  # less than publishplan.STALE, after which others take a publication for dead


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
    """What came of it in one cloud; error is None where all is well."""

    cloud: str
    seconds: float = 0.0
    error: GoldsmithError | None = None
    outcome: Outcome | None = None
    plan: Plan | None = None
    notes: build_diff.Diff | None = None  # against the release before

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        answer: dict[str, Any] = {
            "cloud": self.cloud, "seconds": self.seconds,
            "error": None if self.error is None else str(self.error),
        }  # fmt: skip
        if self.outcome:
            done = self.outcome
            answer |= {
                "image": done.image, "release": done.number, "name": done.name, "changed": done.changed,
                "notes": done.notes, "two_names_s": done.moved_s,
                "upload_s": done.upload_s,
            }  # fmt: skip
        if self.plan:
            answer |= {
                "image": self.plan.target.id, "actions": [action.as_dict() for action in self.plan.actions],
                "notes": list(self.plan.notes),
            }  # fmt: skip
        return answer | ({"diff": self.notes.as_dict()} if self.notes else {})


class Publisher:
    """One spec, its build and the clouds that it goes to."""

    def __init__(self, name: str, options: Options, *, needs_clouds: bool = True) -> None:
        if not 0 < options.deadline_s <= MOST_S:
            raise SpecError(f"a deadline has to be between 1 and {MOST_S} seconds")
        self.options = options
        self.spec = load.load(name, options.variables).spec
        self.line = desired.line_of(self.spec)
        self.folder = options.out / self.spec.name
        self.clouds = desired.chosen(self.spec, options.clouds)
        if needs_clouds and not self.clouds:
            raise SpecError(
                f"{self.spec.name} names no cloud to publish to",
                hint="name one: --cloud NAME, the key publish.clouds, or OS_CLOUD",
            )
        self.records = Records(out=options.out, name=self.spec.name, folder=options.records)
        self.stop = threading.Event()

    def publish(self) -> list[CloudResult]:
        """One result for each cloud, in their order. Raises what concerns them all."""
        build, disks = self._disks()
        with scratch.run(out=self.options.out) as run:
            return self._everywhere(lambda cloud: self._publish(cloud, build, disks[cloud.format], run))

    def plan(self) -> list[CloudResult]:
        """What publish() would do. Changes nothing."""
        build, disks = self._disks()
        with scratch.run(out=self.options.out) as run:
            return self._everywhere(lambda cloud: self._plan(cloud, build, disks[cloud.format], run))

    def rollback(self, to: str) -> list[CloudResult]:
        """The alias back to the release before, or to a build."""
        return self._everywhere(lambda cloud: self._rollback(cloud, to))

    def images(self) -> dict[str, list[inventory.Row]]:
        """Each cloud's releases. Raises PublishError where one does not answer."""
        return {
            cloud.name: inventory.rows(Glance(cloud.name), self.line, self.records) for cloud in self.clouds
        }

    def orphans(self, *, clean: bool, force: bool) -> dict[str, list[inventory.Orphan]]:
        """What publications left that were broken off; clean: what of it was removed."""
        found = {}
        for cloud in self.clouds:
            with journal.locked(self.folder, cloud.name):
                glance, kept = self._connected(cloud)
                left = inventory.orphans(glance, self.line, kept, everything=force)
                found[cloud.name] = [each for each in left if not clean or _remove(each, glance, kept)]
        return found

    def resolve(self, *, project: str, build: str) -> dict[str, Any]:
        """The image that the alias stands for in the first of the clouds, or a build's."""
        glance = Glance(self.clouds[0].name)
        found = inventory.resolve(glance, self.line, project=project, build=build)
        return {
            "cloud": glance.cloud, "alias": self.line.alias, "image": found.id, "release": found.number,
            "name": self.line.release_name(found.build_id), "build_id": found.build_id,
        }  # fmt: skip

    def _disks(self) -> tuple[Build, dict[Any, DiskFile]]:
        trusted = trust.choose(self.spec.publish, self.options.signed_by, self.options.accept_unsigned)
        folder = builds.find_build(self.options.out, self.spec.name, self.options.build)
        build = finished_build.read(folder, name=self.spec.name)
        trusted.require(folder)
        formats = {cloud.format for cloud in self.clouds}
        return build, {format_: finished_build.disk(build, format_.value) for format_ in sorted(formats)}

    def _everywhere(self, call: Callable[[PublishCloud], CloudResult]) -> list[CloudResult]:
        """Side by side; what fails in one cloud leaves the others alone.

        An interrupt reaches the main thread alone: the others are told, and undo what they have begun.
        """

        def one(cloud: PublishCloud) -> CloudResult:
            start = time.monotonic()
            try:
                return call(cloud)
            except (GoldsmithError, OSError) as e:
                error = e if isinstance(e, GoldsmithError) else HostError(f"{cloud.name}: {e}")
                return CloudResult(cloud=cloud.name, error=error, seconds=round(time.monotonic() - start, 1))

        if len(self.clouds) == 1:
            return [one(self.clouds[0])]
        with ThreadPoolExecutor(len(self.clouds)) as pool:
            try:
                running = [pool.submit(copy_context().run, one, cloud) for cloud in self.clouds]
                return [each.result() for each in running]
            except BaseException:
                self.stop.set()
                raise

    def _publish(self, cloud: PublishCloud, build: Build, disk: DiskFile, run: Run) -> CloudResult:
        start = time.monotonic()
        with journal.locked(self.folder, cloud.name):
            to, kept = self._connected(cloud)
            before = release.holder(to.look(self.line).images, self.line.alias)
            job = self._job(cloud, build, disk)
            outcome = Publication(job, to, kept, run).run()
            notes = self._notes(to, before.build_id if before else "", build)
        return CloudResult(
            cloud=cloud.name, outcome=outcome, notes=notes, seconds=round(time.monotonic() - start, 1)
        )

    def _plan(self, cloud: PublishCloud, build: Build, disk: DiskFile, run: Run) -> CloudResult:
        to, kept = self._connected(cloud)
        plan = Publication(self._job(cloud, build, disk), to, kept, run).plan()
        return CloudResult(cloud=cloud.name, plan=plan)

    def _rollback(self, cloud: PublishCloud, to: str) -> CloudResult:
        start = time.monotonic()
        with journal.locked(self.folder, cloud.name):
            glance, kept = self._connected(cloud)
            found = glance.look(self.line, dead=kept.begun())
            holder = release.holder(found.images, self.line.alias)
            to = to or kept.unfinished_rollback(holder.build_id if holder else "")
            visibility, members = desired.seen_by(self.spec, cloud)
            plan = planner.rollback(found, self.line, to=to, visibility=visibility, members=members)
            kept.begin_rollback(plan.target.build_id, holder.build_id if holder else "")
            outcome = Rollback(glance, self.line, self.records.of_cloud(glance, found)).run(plan)
            kept.end_rollback()
        return CloudResult(cloud=cloud.name, outcome=outcome, seconds=round(time.monotonic() - start, 1))

    def _connected(self, cloud: PublishCloud) -> tuple[Glance, Journal]:
        to = Glance(cloud.name)
        return to, Journal(folder=self.folder, cloud=cloud.name, project=to.project)

    def _job(self, cloud: PublishCloud, build: Build, disk: DiskFile) -> Job:
        return Job(
            build=build, disk=disk, cloud=cloud, records=self.records,
            wanted=desired.wanted(
                self.spec, self.line, cloud, build, disk, glance_signature.kept(build.folder, disk.sha256)
            ),
            limits=Limits(until=time.monotonic() + self.options.deadline_s, stop=self.stop),
        )  # fmt: skip

    def _notes(self, to: Glance, before: str, build: Build) -> build_diff.Diff | None:
        if not before or before == build.id:
            return None
        try:
            old = self.records.of_cloud(to, to.look(self.line)).get(before)
        except PublishError as e:  # the release is out, and that is what counts
            progress.note(f"no release notes: {e}")
            return None
        new = {"manifest": build.data, **records.local(build.folder)}
        return build_diff.between(old, new) if old else None


def difference(name: str, options: Options, old: str, new: str) -> build_diff.Diff:
    """What changed between two builds, which may be here, in a folder of records, or in a cloud."""
    publisher = Publisher(name, options, needs_clouds=False)
    found = {build: publisher.records.get(build) for build in (old, new)}
    if None in found.values() and publisher.clouds:
        glance = Glance(publisher.clouds[0].name)
        there = publisher.records.of_cloud(glance, glance.look(publisher.line))
        found = {build: known or there.get(build) for build, known in found.items()}
    for build, known in found.items():
        if known is None:
            raise SpecError(
                f"nothing is known of the build {build} of {publisher.spec.name}",
                hint="name a cloud that has its record, or a folder of records: --cloud NAME, --record DIR",
            )
    return build_diff.between(*(known for known in found.values() if known))


def _remove(orphan: inventory.Orphan, glance: Glance, kept: Journal) -> bool:
    """False for what the cloud does not let go, which is said."""
    try:
        if orphan.kind == "server":
            canary.remove(glance, orphan.id)
        else:
            glance.delete(orphan.id)
            kept.forget_image(orphan.id)
    except PublishError as e:
        progress.note(f"{orphan.id} stays: {e}")
        return False
    return True


def require(results: Sequence[CloudResult]) -> None:
    """Raise PublishError where a cloud failed: its own error where it is the only one, else a table."""
    failed = [result for result in results if result.error]
    if not failed:
        return
    if len(results) == 1 and failed[0].error:
        raise failed[0].error
    rows = "".join(f"\n  | {r.cloud:<16} {r.error or 'done'}" for r in results)
    raise PublishError(
        f"{len(failed)} of {len(results)} clouds failed{rows}",
        hint="run this again: what is done is left alone",
    )
