# SPDX-License-Identifier: Apache-2.0
"""START HERE: a whole build. spec, preflight, kubelet, containers, image, artifact, boot, verify."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from goldsmith.apt.indexes import IndexState
from goldsmith.build import checks, image_stage, resume, unchanged, values
from goldsmith.build.values import STAGES, BuildContext, BuildResult, Ingredients, Options
from goldsmith.changes import red_build
from goldsmith.containers import bundler, images_lock, policy
from goldsmith.containers.bundler import Bundle
from goldsmith.core import build_folders, cache, files, paths, progress, removal, runs
from goldsmith.errors import GoldsmithError, SpecError
from goldsmith.image import (
    base_image,
    build_info,
    checkout,
    dib_plan,
    disk,
    element_hashes,
    manifest,
)
from goldsmith.image.disk import Disk
from goldsmith.image.manifest import Manifest
from goldsmith.image.timings import Timings
from goldsmith.image.verdict import Verdict
from goldsmith.kubernetes import kubelet
from goldsmith.kubernetes.kubelet import KubeletBinary
from goldsmith.provenance import build_inputs, lockfile, spec_lock
from goldsmith.provenance.build_inputs import BuildInputs
from goldsmith.provenance.lockfile import Lock
from goldsmith.scan import sbom, secrets, vulnerabilities
from goldsmith.spec import load
from goldsmith.spec.load import LoadedSpec
from goldsmith.spec.model import ImageSpec
from goldsmith.verify import session, timeline

OVER_BUDGET = "vulnerabilities: over the budget of the spec"
# written by verification, or changed when a build is resumed
_VERIFIED_FILES = (
    sbom.FILE, secrets.FILE, vulnerabilities.FILE, "junit.xml", timeline.FILE, build_inputs.FILE,
)  # fmt: skip


def build(name: str, options: Options) -> BuildResult:
    """Build, boot and verify the image of a spec; at the very end move `latest` to it, unless options.quick.

    If the latest verified build has the same inputs, nothing is made, and the result is that build.
    """
    _check_options(name, options)
    timings = Timings()
    with timings.stage("spec"):
        loaded = load.load(name, options.variables)
    with timings.shown(options.out / loaded.spec.name):
        return _build(loaded, options, timings)


def _build(loaded: LoadedSpec, options: Options, timings: Timings) -> BuildResult:
    with runs.run(out=options.out), timings.stage("preflight"):
        checks.require(
            loaded, out=options.out, locked=options.locked, resumed=options.start in resume.RESUMABLE,
            accepted=options.accepted,
        )  # fmt: skip
    folder = _folder(loaded, options)
    progress.note(f"build {folder.name} in {folder}")
    with _named(folder), runs.run(out=options.out) as run, _kept_if_asked(folder, options):
        run.claim_build(folder)
        context = BuildContext(
            loaded=loaded, folder=folder, options=options,
            identity=build_info.identify(loaded.spec.name, folder.name, loaded.sha256),
            policy=policy.of_spec(loaded.spec), timings=timings, run=run,
        )  # fmt: skip
        with _compared_if_red(context):
            if options.start in resume.RESUMABLE:
                BuildInputs.forget_parts(folder)  # what verifies it now may be other code and other suites
                return _verify(context, _resumed(context))
            given = _ingredients(context)
            same = _same(context, given)
            if same is None:
                return _verify(context, _make(context, given))
    removal.remove_tree(folder)
    return _unchanged(same, loaded.spec, options)


def _ingredients(context: BuildContext) -> Ingredients:
    """Run the stages kubelet and containers."""
    checkout_of = resume.inputs(context.loaded)
    locked = _locked(context)
    (context.folder / "spec.yaml").write_text(context.loaded.rendered)
    with cache.recorded() as before:
        with context.timings.stage("kubelet"):
            binary = _kubelet(context, locked)
        with context.timings.stage("containers"):
            with progress.share("index"):
                states = spec_lock.index_states(context.spec, locked, context.options.accepted)
            bundle = _bundle(context, states)
    parts = unchanged.parts(
        context.loaded, context.identity, checkout_of, states=states, binary=binary, bundle=bundle
    )
    return Ingredients(
        binary=binary, states=states, bundle=bundle, locked=locked, checkout=checkout_of, parts=parts,
        used=before,
    )  # fmt: skip


def _same(context: BuildContext, given: Ingredients) -> Path | None:
    """The latest verified build, if it has the same inputs, as far as they can be known."""
    if context.options.force or context.options.refresh or unchanged.why_unknown(context.loaded):
        return None
    same = unchanged.latest_with(given.parts, context.folder.parent)
    if same is not None and given.locked is not None:
        lockfile.require(given.locked, lockfile.read(same / spec_lock.FILE).parts(), context.spec.name)
    return same


def _unchanged(build: Path, spec: ImageSpec, options: Options) -> BuildResult:
    progress.note(f"nothing has changed since {build.name}: nothing is built (--force builds again)")
    made = Manifest.read(build / manifest.FILE)
    image, verdict = build / made.disk.file, None
    if options.verify:
        tests = values.suites_of(spec)
        verdict = session.verify_again(image, build, tests=tests, fail_fast=not options.keep_going)
    return BuildResult(
        folder=build, image=image, is_latest=True, manifest=made, changed=False, verdict=verdict
    )


def _make(context: BuildContext, given: Ingredients) -> Manifest:
    """Run the stages image and artifact, which put the disk image into the build folder."""
    with context.timings.stage("image"):
        image, used = image_stage.image(context, given)
    made_of = BuildInputs.of(before=given.used, image=used, parts=given.parts)
    made_of.write(context.folder / build_inputs.FILE)
    with context.timings.stage("artifact"):
        disks = disk.take_in(image, context.spec, context.folder)
        disk.write_sums(context.folder, disks)
        with progress.share("lock"):
            _lock(context, given)
        made = _manifest(context, disks, given)
    resume.save(context.folder, made, given.checkout)
    return made


def _verify(context: BuildContext, made: Manifest) -> BuildResult:
    """Run the stages boot and verify, write the final manifest, and move `latest`."""
    folder, spec, timings = context.folder, context.spec, context.timings
    start = time.monotonic()
    known = vulnerabilities.needed(spec.fail_on)
    verdict = session.verify(_subject(context, made), run=context.run, log_path=context.log)
    with progress.share("vulnerabilities"):
        report = vulnerabilities.of_build(folder, known) if verdict.result != "failed" else None
    if report is not None and report.fails(spec.fail_on):
        verdict = dataclasses.replace(verdict, result="failed", failed=(OVER_BUDGET,))
    boot_s = verdict.durations_s.get("boot", 0.0)  # no VM ran if the offline image failed
    timings.stages["boot"] = boot_s
    timings.stages["verify"] = round(time.monotonic() - start - boot_s, 2)
    timings.record().write(folder / "timings.json")
    final = _final(folder, made, verdict, timings)
    if report is not None:
        vulnerabilities.require(report, spec.fail_on)
    verdict.require(folder)
    is_latest = verdict.passed and build_folders.move_latest(folder)
    if verdict.passed:
        resume.forget(folder)
    return BuildResult(folder=folder, image=folder / final.disk.file, is_latest=is_latest, manifest=final)


def _check_options(name: str, options: Options) -> None:
    if options.start not in STAGES:
        raise SpecError(f"no stage is called {options.start!r}", hint=f"stages: {' '.join(STAGES)}")
    if options.verify_short_way < 0:
        raise SpecError(
            "--verify-short-way takes a number from 0 on",
            hint="write 1 to compare every build, 20 for one in 20",
        )
    if options.quick and options.verify:
        raise SpecError(
            "--quick and --verify contradict each other",
            hint="give one of them: --quick ends after the first boot's tests, --verify runs all again",
        )
    compared = options.verify_short_way
    of_images = {
        "--locked": options.locked, f"--verify-short-way {compared}": compared > 0,
        "--allow-older-index": options.accepted.older, "--remembered-index": options.accepted.remembered,
    }  # fmt: skip
    asked = next((words for words, given in of_images.items() if given), None)
    if asked and options.start in resume.RESUMABLE:
        raise SpecError(
            f"{asked} does not work with --from {options.start}, which does not build the image",
            hint=f"run: scripts/inv build-image {name} {asked}",
        )


def _folder(loaded: LoadedSpec, options: Options) -> Path:
    """The folder of the failed build to resume, or a new one."""
    if options.start in resume.RESUMABLE:
        return resume.find(options.out / loaded.spec.name, loaded)
    commit, _ = checkout.commit_of(paths.project_root())
    return build_folders.new_build_folder(options.out, loaded.spec.name, commit[:7])


@contextlib.contextmanager
def _compared_if_red(context: BuildContext) -> Iterator[None]:
    """If the block fails, say what differs from the latest verified build."""
    try:
        yield
    except GoldsmithError:
        red_build.note_differences(context.loaded, context.folder)
        raise


@contextlib.contextmanager
def _named(folder: Path) -> Iterator[None]:
    """Errors carry the folder of the build."""
    try:
        yield
    except GoldsmithError as e:
        e.build = folder
        raise


@contextlib.contextmanager
def _kept_if_asked(folder: Path, options: Options) -> Iterator[None]:
    """With --keep, put a marker there that makes the clean-up of this run keep the disk images."""
    marker = folder / "keep"
    if options.keep:
        marker.touch()
    yield
    marker.unlink(missing_ok=True)


def _resumed(context: BuildContext) -> Manifest:
    return resume.manifest(context.folder)


def _locked(context: BuildContext) -> Lock | None:
    """For a locked build, the spec's lock, after comparing it with the checkout."""
    if not context.options.locked:
        return None
    locked = lockfile.read(spec_lock.path_of(context.loaded))
    lockfile.require(locked, spec_lock.checkout(context.loaded), context.spec.name)
    return locked


def _kubelet(context: BuildContext, locked: Lock | None) -> KubeletBinary | None:
    if context.spec.kubelet is None:
        return None
    before = locked.kubelet if locked is not None else None
    return kubelet.obtain(
        context.spec.kubelet, context.spec.arch, run=context.run, log_path=context.log,
        locked_go=before.get("go") if before else None,
    )  # fmt: skip


def _bundle(context: BuildContext, states: Mapping[str, IndexState]) -> Bundle | None:
    spec = context.spec
    if not spec.containers:
        progress.note("no container images: the spec lists none")
        return None
    bundle = bundler.export(
        spec.containers, layers=spec.layers, arch=spec.arch, run=context.run,
        refresh=context.options.refresh, log_path=context.log, policy=context.policy,
        index=states, accepted=context.options.accepted,
    )  # fmt: skip
    shutil.copy(bundle.lock_path, context.folder / images_lock.FILE)
    return bundle


def _lock(context: BuildContext, given: Ingredients) -> None:
    """Write the lock of this build; a locked build must match the spec's lock."""
    found = spec_lock.of_build(
        context.loaded, context.identity, context.folder,
        kubelet=kubelet.record(given.binary), states=given.states,
    )  # fmt: skip
    lockfile.write(context.folder / spec_lock.FILE, found)
    if given.locked is not None:
        lockfile.require(given.locked, found.parts(), context.spec.name)


def _manifest(context: BuildContext, disks: tuple[Disk, ...], given: Ingredients) -> Manifest:
    return manifest.of_build(
        context.spec, context.identity, context.folder, disks=disks, kubelet=kubelet.record(given.binary),
        images=() if given.bundle is None else given.bundle.images,
        elements=element_hashes.files(dib_plan.elements(context.spec), context.loaded.elements),
        base_image=base_image.record(context.spec.base_image),
        accepted_unsigned=context.policy.used,
        accepted_indexes=values.doubts(given.states, given.bundle),
    )  # fmt: skip


def _subject(context: BuildContext, made: Manifest) -> session.Subject:
    return session.Subject(
        image=context.folder / made.disk.file, out=context.folder, manifest=made,
        tests=values.suites_of(context.spec), fail_fast=not context.options.keep_going,
        quick=context.options.quick,
    )  # fmt: skip


def _final(folder: Path, made: Manifest, verdict: Verdict, timings: Timings) -> Manifest:
    """Write the final manifest, with the hashes of the files that the verification wrote."""
    written = {name: files.sha256_of(folder / name) for name in _VERIFIED_FILES if (folder / name).exists()}
    final = made.verified(verdict, timings.stages, written)
    final.write(folder / manifest.FILE)
    return final
