# SPDX-License-Identifier: Apache-2.0
"""Locks of specs: made from a verified build, held against the checkout and against a new build."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldsmith import (
    artifact,
    baseimage,
    contexts,
    debindex,
    debstore,
    dib,
    lockfile,
    mirror,
    movedtags,
    progress,
    workspace,
)
from goldsmith.artifact import Identity
from goldsmith.debindex import IndexState
from goldsmith.errors import ProvenanceError, SpecError
from goldsmith.lockfile import Lock, Move
from goldsmith.spec import Distribution, ImageSpec
from goldsmith.specfile import SUFFIX, LoadedSpec

FILE = "lock.yaml"  # in a build's folder
_PYTHON = "requirements.lock"


def path_of(loaded: LoadedSpec) -> Path:
    """Where a spec's lock lies: beside it."""
    return loaded.path.with_name(loaded.path.name.removesuffix(SUFFIX) + lockfile.SUFFIX)


def checkout(loaded: LoadedSpec) -> Lock:
    """What is known before anything is built: the parts that are the checkout's alone."""
    spec, root = loaded.spec, workspace.project_root()
    return {
        "spec": loaded.sha256,
        "python": {_PYTHON: workspace.sha256_of(root / _PYTHON)},
        "elements": artifact.element_hashes(dib.elements(spec), loaded.elements),
        "base-image": baseimage.about(spec.base_image),
        "contexts": {
            made.ref: contexts.digest(made.folder) for made in contexts.collect(spec.containers, root)
        },
    }


def of_build(
    loaded: LoadedSpec,
    who: Identity,
    folder: Path,
    *,
    kubelet: Mapping[str, Any] | None,
    index: IndexState | None,
) -> Lock:
    """What the build in folder, which has its lists already, turned out to be made of.

    index: what its packages were chosen from.
    """
    spec, images = loaded.spec, folder / "images.lock.json"
    packages = json.loads((folder / "packages.json").read_text())["packages"]
    return {
        "schema": lockfile.SCHEMA, "version": lockfile.VERSION, "name": who.name,
        "distribution": spec.distribution.value, "release": spec.release, "arch": spec.arch.value,
        "build": {"id": who.build_id, "commit": who.commit},
        "index": None if index is None else _about(index),
        **checkout(loaded),
        "kubelet": _kubelet(kubelet),
        "containers": json.loads(images.read_text()) if images.exists() else {"images": []},
        "packages": [
            {key: p[key] for key in ("name", "version", "architecture", "sha256")} for p in packages
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
    before = debstore.kept(locked["index"]) if locked and locked["index"] else None
    if before is not None:
        progress.note("packages are those of the locked index, kept from an earlier build")
        return before
    state = debindex.current(spec.release, mirror.find(spec.mirror))
    debstore.keep(state)
    return state


def _say_moved_tags(spec: ImageSpec) -> None:
    """The lock holds digests; that a tag means something else by now is for a person to know."""
    with workspace.run() as run:
        for move in movedtags.find(spec, run):
            progress.note(f"the tag {move.what} stands for {move.found} by now; locked is {move.locked}")


def _about(state: IndexState) -> dict[str, Any]:
    return {path: debindex.about(text, path) for path, text in sorted(state.releases.items())}


def _kubelet(said: Mapping[str, Any] | None) -> dict[str, str] | None:
    """Without where Go came from: what it makes is held by its hash."""
    if said is None:
        return None
    pins = {key: value for key, value in said["provenance"].items() if key != "go-origin"}
    return {"version": said["version"], "source": said["source"], "sha256": str(said["sha256"]), **pins}
