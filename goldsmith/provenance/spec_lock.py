# SPDX-License-Identifier: Apache-2.0
"""Locks of specs: made from a verified build, held against the checkout and against a new build."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from goldsmith.apt import indexes, mirror, store
from goldsmith.apt.indexes import IndexState
from goldsmith.containers import build_context, images_lock, registry
from goldsmith.containers.images_lock import ImagesLock
from goldsmith.core import files, paths, progress, scratch
from goldsmith.core.documents import as_data
from goldsmith.core.scratch import Run
from goldsmith.errors import BuildError, HostError, ProvenanceError, SpecError
from goldsmith.image import base_image, dib_plan, elements, packages
from goldsmith.image.build_info import Identity
from goldsmith.image.packages import PackageList
from goldsmith.kubernetes.kubelet import KubeletRecord
from goldsmith.provenance import lockfile
from goldsmith.provenance.lockfile import Lock, Move
from goldsmith.spec.load import SUFFIX, LoadedSpec
from goldsmith.spec.model import Distribution, ImageSpec

FILE = "lock.yaml"  # in a build's folder
_PYTHON = "requirements.lock"


def path_of(loaded: LoadedSpec) -> Path:
    """Where a spec's lock lies: beside it."""
    return loaded.path.with_name(loaded.path.name.removesuffix(SUFFIX) + lockfile.SUFFIX)


def checkout(loaded: LoadedSpec) -> Lock:
    """What is known before anything is built: the parts that are the checkout's alone."""
    spec, root = loaded.spec, paths.project_root()
    return {
        "spec": loaded.sha256,
        "python": {_PYTHON: files.sha256_of(root / _PYTHON)},
        "elements": elements.hashes(dib_plan.elements(spec), loaded.elements),
        "base-image": as_data(base_image.record(spec.base_image)),
        "contexts": {
            made.ref: build_context.digest(made.folder)
            for made in build_context.collect(spec.containers, root)
        },
    }


def of_build(
    loaded: LoadedSpec,
    who: Identity,
    folder: Path,
    *,
    kubelet: KubeletRecord | None,
    index: IndexState | None,
) -> Lock:
    """What the build in folder, which has its lists already, turned out to be made of.

    index: what its packages were chosen from.
    """
    spec, images = loaded.spec, folder / images_lock.FILE
    listed = PackageList.read(folder / packages.FILE)
    return {
        "schema": lockfile.SCHEMA, "version": lockfile.VERSION, "name": who.name,
        "distribution": spec.distribution.value, "release": spec.release, "arch": spec.arch.value,
        "build": {"id": who.build_id, "commit": who.commit},
        "index": None if index is None else _about(index),
        **checkout(loaded),
        "kubelet": _kubelet(kubelet),
        "containers": ImagesLock.read(images).as_dict() if images.exists() else {"images": []},
        "packages": [
            {"name": p.name, "version": p.version, "architecture": p.architecture, "sha256": p.sha256}
            for p in listed.packages
        ],
    }  # fmt: skip


def lock(loaded: LoadedSpec, build: Path, *, upgrade: str) -> tuple[Path, tuple[Move, ...]]:
    """Write the spec's lock from a build of it; what moved since the lock before.

    upgrade: the parts that change where there is a lock already. Raises SpecError and ProvenanceError.
    """
    target = path_of(loaded)
    new = lockfile.read(build / FILE)
    moved = lockfile.compare(new, checkout(loaded))
    if moved:
        raise ProvenanceError(
            f"the checkout is not what {build.name} was built from\n{lockfile.table(moved)}",
            hint=f"build it, then lock it: scripts/inv build-image {loaded.spec.name}",
        )
    old = lockfile.read(target) if target.exists() else None
    if old is not None and not upgrade:
        raise SpecError(
            f"{target.name} is there already",
            hint="say what may change: --upgrade all, or such as --upgrade packages,kubelet",
        )
    _say_moved_tags(loaded.spec)
    chosen = lockfile.merge(old, new, lockfile.parts(upgrade or "all"))
    lockfile.write(target, chosen)
    return target, () if old is None else lockfile.compare(old, chosen)


def index(spec: ImageSpec, locked: Lock | None) -> IndexState | None:
    """The package index to build from: the locked one where it was kept, else today's, which is kept.

    None where packages are not Debian's. Raises BuildError and HostError.
    """
    if spec.distribution is not Distribution.debian:
        return None
    before = store.kept(locked["index"]) if locked and locked["index"] else None
    if before is not None:
        progress.note("packages are those of the locked index, kept from an earlier build")
        return before
    state = indexes.current(spec.release, mirror.find(spec.mirror))
    store.keep(state)
    return state


def _say_moved_tags(spec: ImageSpec) -> None:
    """The lock holds digests; that a tag means something else by now is for a person to know."""
    with scratch.run() as run:
        for move in find(spec, run):
            progress.note(f"the tag {move.what} stands for {move.found} by now; locked is {move.locked}")


def _about(state: IndexState) -> dict[str, Any]:
    return {path: indexes.about(text, path) for path, text in sorted(state.releases.items())}


def _kubelet(found: KubeletRecord | None) -> dict[str, str] | None:
    """Without where Go came from: what it makes is held by its hash."""
    if found is None:
        return None
    pins = {key: value for key, value in found.provenance.items() if key != "go-origin"}
    return {"version": found.version, "source": found.source, "sha256": str(found.sha256), **pins}


def find(spec: ImageSpec, run: Run) -> Iterator[Move]:
    """Every NAME:TAG@DIGEST of a spec whose registry has another digest for the tag by now.

    The build takes what is pinned, so this is for a person to know. What cannot be found out is said.
    """
    for container in spec.containers:
        if container.registry is None:
            continue
        bare, _, pinned = container.registry.partition("@")
        try:
            found = registry.tagged(container.registry, run=run, log_path=run.folder / "tags.log")
        except (BuildError, HostError) as e:
            progress.note(f"whether the tag of {bare} has moved is not known: {e}")
            continue
        if found and pinned not in found:
            yield Move(part="containers", what=bare, locked=pinned, found=found[0], who=lockfile.UPSTREAM)
