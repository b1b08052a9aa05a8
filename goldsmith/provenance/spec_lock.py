# SPDX-License-Identifier: Apache-2.0
"""Locks of specs: make one from a verified build; compare it with the checkout and with a new build."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from goldsmith.apt import indexes, mirror, store
from goldsmith.apt.indexes import FRESH_ONLY, Accepted, IndexState
from goldsmith.containers import build_context, images_lock, registry, rootfs
from goldsmith.containers.images_lock import ImagesLock
from goldsmith.core import files, paths, progress, runs
from goldsmith.core.documents import as_data
from goldsmith.core.runs import Run
from goldsmith.errors import BuildError, HostError, ProvenanceError, SpecError
from goldsmith.image import base_image, dib_plan, element_hashes, packages
from goldsmith.image.build_info import Identity
from goldsmith.image.packages import PackageList
from goldsmith.kubernetes.kubelet import KubeletRecord
from goldsmith.provenance import lockfile
from goldsmith.provenance.lockfile import (
    Difference,
    Lock,
    LockedAnswer,
    LockedBuild,
    LockedContainers,
    LockedPackage,
)
from goldsmith.spec.load import SUFFIX, LoadedSpec
from goldsmith.spec.model import Distribution, ImageSpec

FILE = "lock.yaml"  # in a build's folder
_PYTHON = "requirements.lock"
_SPECS = "image-specs"


def path_of(loaded: LoadedSpec) -> Path:
    """Where a spec's lock lies: beside it, or in the project's image-specs/ if the spec is a shipped one."""
    folder = loaded.path.parent
    if folder == paths.shipped(_SPECS):
        folder = paths.project_root() / _SPECS
    return folder / (loaded.path.name.removesuffix(SUFFIX) + lockfile.SUFFIX)


def checkout(loaded: LoadedSpec) -> dict[str, Any]:
    """The parts of a lock that are known before a build: those of the checkout alone."""
    spec = loaded.spec
    return {
        "spec": loaded.sha256,
        "python": {_PYTHON: files.sha256_of(paths.shipped(_PYTHON))},
        "elements": element_hashes.hashes(dib_plan.elements(spec), loaded.elements),
        "base-image": as_data(base_image.record(spec.base_image)),
        "contexts": {
            made.ref: build_context.digest(made.folder)
            for made in build_context.collect(spec.containers, paths.roots_of_specs())
        },
    }


def of_build(
    loaded: LoadedSpec,
    who: Identity,
    folder: Path,
    *,
    kubelet: KubeletRecord | None,
    states: Mapping[str, IndexState],
) -> Lock:
    """The lock of the build in folder, which holds its lists already.

    states: the package indexes that the build used, by suite.
    """
    spec, images = loaded.spec, folder / images_lock.FILE
    listed = PackageList.read(folder / packages.FILE)
    parts = checkout(loaded)
    return Lock(
        name=who.name, distribution=spec.distribution.value, release=spec.release, arch=spec.arch.value,
        build=LockedBuild(id=who.build_id, commit=who.commit),
        index=about(states.values()) if states else None,
        spec=parts["spec"], python=parts["python"], elements=parts["elements"],
        base_image=base_image.record(spec.base_image), contexts=parts["contexts"],
        kubelet=_kubelet(kubelet),
        containers=LockedContainers.of(ImagesLock.read(images) if images.exists() else None),
        packages=tuple(
            LockedPackage(name=p.name, version=p.version, architecture=p.architecture, sha256=p.sha256)
            for p in listed.packages
        ),
    )  # fmt: skip


def lock(loaded: LoadedSpec, build: Path, *, upgrade: str) -> LockedAnswer:
    """Write the spec's lock from a build of it; the differences from the lock before.

    upgrade: the parts that change where there is a lock already. Raises SpecError and ProvenanceError.
    """
    target = path_of(loaded)
    new = lockfile.read(build / FILE)
    changed = lockfile.compare(new, checkout(loaded))
    if changed:
        raise ProvenanceError(
            f"the checkout differs from that of build {build.name}\n{lockfile.table(changed)}",
            hint=f"build first, then lock: scripts/inv build-image {loaded.spec.name}",
        )
    old = lockfile.read(target) if target.exists() else None
    if old is not None and not upgrade:
        raise SpecError(
            f"{target.name} exists already",
            hint="name the parts that may change: --upgrade all, or for example --upgrade packages,kubelet",
        )
    _note_tag_drift(loaded.spec)
    chosen = lockfile.merge(old, new, lockfile.parts(upgrade or "all"))
    target.parent.mkdir(exist_ok=True)
    lockfile.write(target, chosen)
    moved = () if old is None else lockfile.compare(old, chosen.parts())
    return LockedAnswer(moved=moved, path=str(target))


def index_states(
    spec: ImageSpec, locked: Lock | None, accepted: Accepted = FRESH_ONLY
) -> dict[str, IndexState]:
    """The package indexes to build from, by suite: of the image, and of container images made of packages.

    The locked ones if the cache has them, else today's, which it then keeps. Raises BuildError and HostError.
    """
    named = _index_of(locked)
    found = {}
    for suite in _suites(spec):
        before = _kept(suite, locked)
        if before is not None:
            progress.note(f"using the locked package index of {suite} from the cache")
            found[suite] = before
        else:
            pinned = {path: entry["sha256"] for path, entry in named.items()}
            found[suite] = indexes.current(suite, mirror.find(spec.mirror), accepted, pinned=pinned)
            store.keep(found[suite])
    return found


def _suites(spec: ImageSpec) -> list[str]:
    contexts = build_context.collect(spec.containers, paths.roots_of_specs())
    suites = [rootfs.read(context.folder).suite for context in contexts if context.rootfs]
    own = [spec.release] if spec.distribution is Distribution.debian else []
    return list(dict.fromkeys([*own, *suites]))


def _kept(suite: str, locked: Lock | None) -> IndexState | None:
    listed = _index_of(locked)
    mine = {path: listed[path] for path in indexes.paths_of(suite) if path in listed}
    return store.kept(mine) if len(mine) == len(indexes.paths_of(suite)) else None


def _index_of(locked: Lock | None) -> Mapping[str, Mapping[str, str]]:
    return locked.index if locked and locked.index else {}


def _note_tag_drift(spec: ImageSpec) -> None:
    """The lock holds digests; a note tells of tags that have another digest today."""
    with runs.run() as run:
        for tag in find(spec, run):
            progress.note(f"tag drift: {tag.what} is {tag.found} in its registry, {tag.locked} in the lock")


def about(states: Iterable[IndexState]) -> dict[str, Any]:
    """The indexes as a lock holds them: path -> hash and date."""
    releases = sorted(pair for state in states for pair in state.releases.items())
    return {path: indexes.about(text, path) for path, text in releases}


def _kubelet(record: KubeletRecord | None) -> dict[str, str] | None:
    """Without the origin of Go: the lock has the hash of what Go made. Without a hash it is the text None."""
    if record is None:
        return None
    pins = {key: value for key, value in record.provenance.items() if key != "go-origin"}
    return {"version": record.version, "source": record.source, "sha256": str(record.sha256), **pins}


def find(spec: ImageSpec, run: Run) -> Iterator[Difference]:
    """Tag drift: every NAME:TAG@DIGEST of a spec for whose tag the registry has another digest today.

    Builds take the pinned digest, so this is information only. A note tells of registries that fail.
    """
    for container in spec.containers:
        if container.registry is None:
            continue
        bare, _, pinned = container.registry.partition("@")
        try:
            found = registry.tagged(container.registry, run=run, log_path=run.folder / "tags.log")
        except (BuildError, HostError) as e:
            progress.note(f"cannot check the tag {bare}: {e}")
            continue
        if found and pinned not in found:
            yield Difference(
                part="containers", what=bare, locked=pinned, found=found[0], who=lockfile.UPSTREAM
            )
