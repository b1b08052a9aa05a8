# SPDX-License-Identifier: Apache-2.0
"""The road from a spec to a verified image, in order. The tasks call this, and nothing below it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith import resume
from goldsmith.apt import mirror, proxy
from goldsmith.apt.indexes import IndexState
from goldsmith.apt.mirror import Mirrors
from goldsmith.apt.netns import Door
from goldsmith.containers import bundler, policy
from goldsmith.containers.bundler import Bundle
from goldsmith.core import builds, files, paths, progress, scratch
from goldsmith.core.scratch import Run
from goldsmith.errors import SpecError
from goldsmith.host import preflight
from goldsmith.image import base_image, dib, dib_plan, disk, manifest, prepare
from goldsmith.image.disk import Disk
from goldsmith.image.manifest import Identity
from goldsmith.kubernetes import kubelet
from goldsmith.kubernetes.kubelet import KubeletBinary
from goldsmith.provenance import lockfile, spec_lock
from goldsmith.provenance.lockfile import Lock
from goldsmith.scan import sbom, secrets, vulnerabilities
from goldsmith.spec import load
from goldsmith.spec.load import LoadedSpec
from goldsmith.spec.model import Arch, ImageSpec
from goldsmith.verify import session

OVER_BUDGET = "vulnerabilities: over the budget of the spec"
STAGES = ("spec", "preflight", "kubelet", "containers", "image", "artifact", "boot", "verify")


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How to build: see the help of the task build-image."""

    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    out: Path = dataclasses.field(default_factory=paths.out_root)
    keep: bool = False
    refresh: bool = False
    start: str = STAGES[0]
    locked: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """A finished, verified build."""

    folder: Path
    manifest: Mapping[str, Any]
    is_latest: bool

    def as_dict(self) -> dict[str, Any]:
        """The answer of build-image --json."""
        return {
            "schema": "goldsmith.build-result",
            "version": 1,
            "folder": str(self.folder),
            "image": str(self.folder / self.manifest["disks"][0]["file"]),
            "is_latest": self.is_latest,
            "manifest": self.manifest,
        }


def build(name: str, options: Options) -> Result:
    """Build, boot and verify the image of a spec; `latest` moves to it at the very end."""
    _check_stage(options.start)
    if options.locked and options.start in resume.RESUMABLE:
        raise SpecError(
            f"--locked does not go with --from {options.start}: what was built is not looked at again",
            hint=f"run: scripts/inv build-image {name} --locked",
        )
    timings = Timings()
    with timings.stage("spec"):
        loaded = load.load(name, options.variables)
    with scratch.run(out=options.out), timings.stage("preflight"):
        _check_buildable(loaded.spec)
        vulnerabilities.needed(loaded.spec.fail_on)
        # what a locked build needs of a mirror may all be in the cache
        optional = ("mirrors",) if options.locked else ()
        preflight.require(loaded.spec, out=options.out, left_out=optional)
    if options.start in resume.RESUMABLE:
        folder = resume.find(options.out / loaded.spec.name, loaded)
    else:
        folder = _new_folder(loaded.spec, options)
    return _Build(loaded, folder, options, timings).run()


def _new_folder(spec: ImageSpec, options: Options) -> Path:
    commit, _ = manifest.commit_of(paths.project_root())
    return builds.new_build_folder(options.out, spec.name, commit[:7])


class _Build:
    """One build in its folder; every stage takes what the earlier ones returned."""

    def __init__(self, loaded: LoadedSpec, folder: Path, options: Options, timings: Timings) -> None:
        self.loaded, self.spec = loaded, loaded.spec
        self.folder, self.options, self.timings = folder, options, timings
        self.log = folder / "build.log"
        self.policy = policy.of_spec(self.spec)
        self.index: IndexState | None = None
        commit, dirty = manifest.commit_of(paths.project_root())
        self.identity = Identity(
            name=self.spec.name, build_id=folder.name, commit=commit, dirty=dirty,
            spec_sha256=loaded.sha256,
        )  # fmt: skip

    def run(self) -> Result:
        """All stages from kubelet on, or from boot on where a failed build is resumed."""
        progress.note(f"build {self.identity.build_id} in {self.folder}")
        with scratch.run(out=self.options.out) as run, self._kept_if_asked():
            run.claim_build(self.folder)
            if self.options.start in resume.RESUMABLE:
                manifest = resume.manifest(self.folder)
            else:
                made_of = resume.inputs(self.loaded)
                manifest = self._make(run)
                resume.save(self.folder, manifest, made_of)
            return self._prove(run, manifest)

    def _make(self, run: Run) -> dict[str, Any]:
        locked = lockfile.read(spec_lock.path_of(self.loaded)) if self.options.locked else None
        if locked is not None:
            lockfile.require(locked, spec_lock.checkout(self.loaded), self.spec.name)
        (self.folder / "spec.yaml").write_text(self.loaded.rendered)
        with self.timings.stage("kubelet"):
            binary = self._kubelet(run)
        with self.timings.stage("containers"):
            with progress.share("index"):
                self.index = spec_lock.index(self.spec, locked)
            bundle = self._bundle(run)
        with self.timings.stage("image"):
            image = self._image(run, binary, bundle)
        with self.timings.stage("artifact"):
            disks = disk.take_in(image, self.spec, self.folder)
            disk.write_sums(self.folder, disks)
            with progress.share("lock"):
                self._lock(binary, locked)
            return self._manifest(disks, binary, bundle)

    def _lock(self, binary: KubeletBinary | None, locked: Lock | None) -> None:
        """Note what the build turned out to be made of; it has to be what was locked, if anything was."""
        found = spec_lock.of_build(
            self.loaded, self.identity, self.folder, kubelet=kubelet.about(binary), index=self.index
        )
        lockfile.write(self.folder / spec_lock.FILE, found)
        if locked is not None:
            lockfile.require(locked, found.parts(), self.spec.name)

    def _kubelet(self, run: Run) -> KubeletBinary | None:
        if self.spec.kubelet is None:
            return None
        return kubelet.obtain(self.spec.kubelet, self.spec.arch, run=run, log_path=self.log)

    def _bundle(self, run: Run) -> Bundle | None:
        if not self.spec.containers:
            progress.note("no container images: the spec's list is empty")
            return None
        bundle = bundler.export(
            self.spec.containers, layers=self.spec.layers, arch=self.spec.arch, run=run,
            refresh=self.options.refresh, log_path=self.log, policy=self.policy,
            index=None if self.index is None else {self.spec.release: self.index},
        )  # fmt: skip
        shutil.copy(bundle.lock_path, self.folder / "images.lock.json")
        return bundle

    def _image(self, run: Run, binary: KubeletBinary | None, bundle: Bundle | None) -> Path:
        base = self.spec.base_image
        with self._packages(run) as (mirrors, door):
            made = prepare.make(
                self.loaded, run.folder, binary=binary, bundle=bundle, identity=self.identity,
                base_image=None if base is None else base_image.fetch(base, log_path=self.log),
                pod_schema=self._pod_schema(), mirrors=mirrors,
                epoch=None if self.index is None else self.index.epoch,
            )  # fmt: skip
            image = dib.build(made, log_path=self.log, door=door)
        shutil.copy(run.folder / "identity" / "packages.json", self.folder / "packages.json")
        return image

    @contextlib.contextmanager
    def _packages(self, run: Run) -> Iterator[tuple[Mirrors | None, Door | None]]:
        """Debian's mirrors with the build's index, and with what is kept, for as long as the block lasts.

        A locked build has a door: it reaches these, and nothing else.
        """
        if self.index is None:
            if self.options.locked:
                progress.note(f"the network is not cut off: this is {self.spec.distribution}, not debian")
            yield None, None
            return
        found, path = mirror.find(self.spec.mirror), run.folder / "door" if self.options.locked else None
        with proxy.serve(found, self.index, self.spec.arch.value, door=path) as address:
            mirrors = Mirrors(debian=f"{address}/debian", security=f"{address}/security")
            yield mirrors, None if path is None else Door(path=path, port=int(address.rpartition(":")[2]))

    def _pod_schema(self) -> Path | None:
        kubelet_spec = self.spec.kubelet
        return kubelet.pod_schema(kubelet_spec) if kubelet_spec and prepare.knows_pods(self.spec) else None

    def _manifest(
        self, disks: tuple[Disk, ...], binary: KubeletBinary | None, bundle: Bundle | None
    ) -> dict[str, Any]:
        return manifest.manifest(
            self.spec, self.identity, self.folder, disks=disks, kubelet=kubelet.about(binary),
            images=() if bundle is None else json.loads(bundle.lock_path.read_text())["images"],
            elements=manifest.element_hashes(dib_plan.elements(self.spec), self.loaded.elements),
            base_image=base_image.about(self.spec.base_image),
            accepted_unsigned=self.policy.used,
        )  # fmt: skip

    def _prove(self, run: Run, manifest: dict[str, Any]) -> Result:
        subject = session.Subject(
            image=self.folder / manifest["disks"][0]["file"], out=self.folder, manifest=manifest,
            tests=[paths.project_root() / folder for folder in self.spec.verify.tests],
        )  # fmt: skip
        start = time.monotonic()
        known = vulnerabilities.needed(self.spec.fail_on)
        verdict = session.verify(subject, run=run, log_path=self.log)
        with progress.share("vulnerabilities"):
            report = vulnerabilities.of_build(self.folder, known) if verdict.passed else None
        if report is not None and report.fails(self.spec.fail_on):
            verdict = dataclasses.replace(verdict, passed=False, failed=(OVER_BUDGET,))
        boot_s = verdict.durations_s["boot"]
        self.timings.stages["boot"] = boot_s
        self.timings.stages["verify"] = round(time.monotonic() - start - boot_s, 2)
        files.write_json(self.folder / "timings.json", self.timings.as_dict())
        manifest = {
            **manifest, "verification": verdict.as_dict(), "stages_s": dict(self.timings.stages),
            "files": manifest["files"]
            | {path.name: files.sha256_of(path) for path in self._found()},
        }  # fmt: skip
        files.write_json(self.folder / "manifest.json", manifest)
        if report is not None:
            vulnerabilities.require(report, self.spec.fail_on)
        verdict.require(self.folder)
        is_latest = builds.move_latest(self.folder)
        resume.forget(self.folder)
        return Result(folder=self.folder, manifest=manifest, is_latest=is_latest)

    def _found(self) -> Iterator[Path]:
        """What the verification wrote that the manifest vouches for."""
        for name in (sbom.FILE, secrets.FILE, vulnerabilities.FILE, "junit.xml"):
            if (self.folder / name).exists():
                yield self.folder / name

    @contextlib.contextmanager
    def _kept_if_asked(self) -> Iterator[None]:
        """With --keep a marker tells the clean-up of this run to leave the disk images alone."""
        marker = self.folder / "keep"
        if self.options.keep:
            marker.touch()
        yield
        marker.unlink(missing_ok=True)


def _check_stage(stage: str) -> None:
    if stage not in STAGES:
        raise SpecError(f"no stage is called {stage!r}", hint=f"stages: {' '.join(STAGES)}")


def _check_buildable(spec: ImageSpec) -> None:
    """Refuse what can be planned but not built yet, rather than leave it out without a word."""
    if spec.arch is not Arch.amd64:
        raise SpecError(
            f"{spec.name}: {spec.arch} images can be planned but not built yet",
            hint=f"run: scripts/inv plan {spec.name}",
        )


class Timings:
    """Seconds per stage, as they are spent."""

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}
        progress.shares()

    def stage(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Announce a stage and take its time."""
        return progress.timed(name, self.stages)

    def as_dict(self) -> dict[str, Any]:
        """The content of timings.json; what provenance took is within the stages' seconds."""
        total = round(sum(self.stages.values()), 2)
        return {
            "schema": manifest.TIMINGS_SCHEMA, "version": 1, "stages_s": dict(self.stages), "total_s": total,
            "provenance_s": progress.shares(),
        }  # fmt: skip
