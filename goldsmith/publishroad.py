# SPDX-License-Identifier: Apache-2.0
"""Publishing, from a spec and its verified build to each of its clouds: what the tasks call."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goldsmith import buildrecord, imagediff, inventory, journal, publishplan, release, specfile, workspace
from goldsmith.buildrecord import Build, DiskFile
from goldsmith.carryout import Outcome, Rollback
from goldsmith.errors import GoldsmithError, PublishError, SpecError
from goldsmith.glance import Glance
from goldsmith.journal import Journal
from goldsmith.publication import Job, Publication
from goldsmith.publishstep import Plan
from goldsmith.records import Records
from goldsmith.release import GlanceImage, Line, Wanted
from goldsmith.spec import Arch, Distribution, ImageSpec, PublishCloud, Visibility
from goldsmith.workspace import Run

DEADLINE_S = 7200
_VERSIONS = {"bookworm": "12", "trixie": "13"}  # os_version is the number of a release
_MACHINES = {Arch.amd64: "x86_64", Arch.arm64: "aarch64"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """See the help of the task publish. deadline_s: of one cloud's publication."""

    out: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    clouds: tuple[str, ...] = ()
    build: str = ""
    records: Path | None = None
    deadline_s: float = DEADLINE_S


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What came of it in one cloud; error is None where all is well."""

    cloud: str
    seconds: float = 0.0
    error: GoldsmithError | None = None
    outcome: Outcome | None = None
    plan: Plan | None = None
    notes: imagediff.Diff | None = None  # against the release before

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
        self.options = options
        self.spec = specfile.load(name, options.variables).spec
        self.line = line_of(self.spec)
        self.folder = options.out / self.spec.name
        self.clouds = chosen(self.spec, options.clouds)
        if needs_clouds and not self.clouds:
            raise SpecError(
                f"{self.spec.name} names no cloud to publish to",
                hint="name one: --cloud NAME, the key publish.clouds, or OS_CLOUD",
            )
        self.records = Records(out=options.out, name=self.spec.name, folder=options.records)
        self.stop = threading.Event()

    def publish(self) -> list[Result]:
        """One result for each cloud, in their order. Raises what concerns them all."""
        build, disks = self._disks()
        with workspace.run() as run:
            return self._everywhere(lambda cloud: self._publish(cloud, build, disks[cloud.format], run))

    def plan(self) -> list[Result]:
        """What publish() would do. Changes nothing."""
        build, disks = self._disks()
        with workspace.run() as run:
            return self._everywhere(lambda cloud: self._plan(cloud, build, disks[cloud.format], run))

    def rollback(self, to: str) -> list[Result]:
        """The alias back to the release before, or to a build."""
        return self._everywhere(lambda cloud: self._rollback(cloud, to))

    def images(self) -> dict[str, list[inventory.Row]]:
        """Each cloud's releases. Raises PublishError where one does not answer."""
        return {
            cloud.name: inventory.rows(Glance(cloud.name), self.line, self.records) for cloud in self.clouds
        }

    def orphans(self, *, clean: bool, force: bool) -> dict[str, list[GlanceImage]]:
        """What publications left that were broken off; clean: and remove it."""
        found = {}
        for cloud in self.clouds:
            with journal.locked(self.folder, cloud.name):
                glance, kept = self._connected(cloud)
                found[cloud.name] = inventory.orphans(glance, self.line, kept, everything=force)
                for image in found[cloud.name] if clean else ():
                    glance.delete(image.id)
                    kept.forget_image(image.id)
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
        folder = buildrecord.find(self.options.out, self.spec.name, self.options.build)
        build = buildrecord.read(folder)
        formats = {cloud.format for cloud in self.clouds}
        return build, {format_: buildrecord.disk(build, format_.value) for format_ in sorted(formats)}

    def _everywhere(self, call: Callable[[PublishCloud], Result]) -> list[Result]:
        """Side by side; what fails in one cloud leaves the others alone.

        An interrupt reaches the main thread alone: the others are told, and undo what they have begun.
        """

        def one(cloud: PublishCloud) -> Result:
            start = time.monotonic()
            try:
                return call(cloud)
            except GoldsmithError as e:
                return Result(cloud=cloud.name, error=e, seconds=round(time.monotonic() - start, 1))

        if len(self.clouds) == 1:
            return [one(self.clouds[0])]
        with ThreadPoolExecutor(len(self.clouds)) as pool:
            try:
                return list(pool.map(one, self.clouds))
            except BaseException:
                self.stop.set()
                raise

    def _publish(self, cloud: PublishCloud, build: Build, disk: DiskFile, run: Run) -> Result:
        start = time.monotonic()
        with journal.locked(self.folder, cloud.name):
            to, kept = self._connected(cloud)
            before = release.holder(to.look(self.line).images, self.line.alias)
            job = self._job(cloud, build, disk)
            outcome = Publication(job, to, kept, run).run()
            notes = self._notes(to, before.build_id if before else "", build)
        return Result(
            cloud=cloud.name, outcome=outcome, notes=notes, seconds=round(time.monotonic() - start, 1)
        )

    def _plan(self, cloud: PublishCloud, build: Build, disk: DiskFile, run: Run) -> Result:
        to, kept = self._connected(cloud)
        plan = Publication(self._job(cloud, build, disk), to, kept, run).plan()
        return Result(cloud=cloud.name, plan=plan)

    def _rollback(self, cloud: PublishCloud, to: str) -> Result:
        start = time.monotonic()
        with journal.locked(self.folder, cloud.name):
            glance, kept = self._connected(cloud)
            found = glance.look(self.line)
            plan = publishplan.rollback(found, self.line, to=to or kept.unfinished_rollback())
            kept.begin_rollback(plan.target.build_id)
            outcome = Rollback(glance, self.line, self.records.of_cloud(glance, found)).run(plan)
            kept.end_rollback()
        return Result(cloud=cloud.name, outcome=outcome, seconds=round(time.monotonic() - start, 1))

    def _connected(self, cloud: PublishCloud) -> tuple[Glance, Journal]:
        to = Glance(cloud.name)
        return to, Journal(folder=self.folder, cloud=cloud.name, project=to.project)

    def _job(self, cloud: PublishCloud, build: Build, disk: DiskFile) -> Job:
        return Job(
            build=build, disk=disk, cloud=cloud, records=self.records,
            wanted=wanted(self.spec, self.line, cloud, build, disk),
            until=time.monotonic() + self.options.deadline_s, stop=self.stop,
        )  # fmt: skip

    def _notes(self, to: Glance, before: str, build: Build) -> imagediff.Diff | None:
        if not before or before == build.id:
            return None
        old = self.records.of_cloud(to, to.look(self.line)).get(before)
        new = {"manifest": build.manifest, **buildrecord.local(build)}
        return imagediff.between(old, new) if old else None


def difference(name: str, options: Options, old: str, new: str) -> imagediff.Diff:
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
    return imagediff.between(*(known for known in found.values() if known))


def line_of(spec: ImageSpec) -> Line:
    """The releases of a spec, whatever cloud they are in."""
    rules = spec.publish
    return Line(
        name=spec.name, alias=rules.alias or spec.name, protected=rules.protected, keep=rules.keep,
        retired=rules.retired,
    )  # fmt: skip


def chosen(spec: ImageSpec, names: Sequence[str]) -> tuple[PublishCloud, ...]:
    """The clouds of these names as the spec has them, else all of the spec's, else the environment's."""
    known = {cloud.name: cloud for cloud in spec.publish.clouds}
    if names:
        return tuple(known.get(name) or PublishCloud(name=name) for name in dict.fromkeys(names))
    if known:
        return tuple(known.values())
    if os.environ.get("OS_CLOUD") or os.environ.get("OS_AUTH_URL"):
        return (PublishCloud(name=os.environ.get("OS_CLOUD", "")),)
    return ()


def wanted(spec: ImageSpec, line: Line, cloud: PublishCloud, build: Build, disk: DiskFile) -> Wanted:
    """What the release has to be in a cloud. Raises SpecError where the spec cannot be met there."""
    visibility = cloud.visibility or spec.publish.visibility
    manifest = build.manifest
    return Wanted(
        line=line, build_id=build.id, disk_format=disk.format, size=disk.size, sha256=disk.sha256,
        sha512=disk.sha512, min_disk=manifest["min_disk_gib"], min_ram=manifest["min_ram_mib"],
        visibility=visibility, standard=_standard(spec), properties=spec.publish.properties,
        tags=frozenset(spec.publish.tags), canary=cloud.canary,
        members=frozenset(spec.publish.share) if visibility is Visibility.shared else frozenset(),
    )  # fmt: skip


def _standard(spec: ImageSpec) -> dict[str, str]:
    """Properties that every OpenStack knows, from the spec."""
    found = {"hw_architecture": _MACHINES[spec.arch], "os_type": "linux"}
    if spec.distribution is not Distribution.custom:
        found |= {
            "os_distro": spec.distribution.value, "os_version": _VERSIONS.get(spec.release, spec.release),
        }  # fmt: skip
    return found


def require(results: Sequence[Result]) -> None:
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
