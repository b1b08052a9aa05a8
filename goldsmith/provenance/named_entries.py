# SPDX-License-Identifier: Apache-2.0
"""Entries of the cache that must stay: what locks beside specs and published builds are made of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from goldsmith.core import build_folders, paths
from goldsmith.provenance import build_inputs, lockfile
from goldsmith.provenance.build_inputs import BuildInputs
from goldsmith.provenance.lockfile import Lock

Entry = tuple[str, str]  # kind and key


def find(out: Path) -> set[Entry]:
    """All of them; out: the folder of builds. Raises ProvenanceError if a lock or a build cannot be read.

    A rollback target is a published build, too. Locks are those in image-specs/.
    """
    found = set()
    for root in paths.roots_of_specs():
        for path in sorted((root / "image-specs").glob(f"*{lockfile.SUFFIX}")):
            found |= set(_of_lock(lockfile.read(path), out))
    for build in _published(out):
        found |= set(_of_build(build))
    return found


def _of_lock(locked: Lock, out: Path) -> Iterator[Entry]:
    """Packages and indexes by their hashes; the rest is known by the build that the lock was made from."""
    yield from ((build_inputs.PACKAGES, each.sha256) for each in locked.packages if each.sha256)
    yield from ((build_inputs.PACKAGES, each["sha256"]) for each in (locked.index or {}).values())
    yield from _of_build(out / locked.name / locked.build.id)


def _published(out: Path) -> Iterator[Path]:
    for folder in sorted(path for path in out.glob("*") if path.is_dir() and not path.is_symlink()):
        yield from (build for build in build_folders.builds_of(folder) if list(build.glob("publish*.json")))


def _of_build(build: Path) -> Iterator[Entry]:
    """What its locked build takes from the cache; nothing for a build that is gone, or from before."""
    path = build / build_inputs.FILE
    if path.is_file():
        yield from ((entry.kind, entry.key) for entry in BuildInputs.read(path).entries)
