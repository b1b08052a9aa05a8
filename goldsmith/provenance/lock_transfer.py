# SPDX-License-Identifier: Apache-2.0
"""Carry what a lock names to another machine: the archive of a lock, from the cache and back into one."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import goldsmith
from goldsmith.containers import build_context, policy, registry
from goldsmith.core import build_folders, cache, files, paths, progress, runs
from goldsmith.core.documents import Document, about
from goldsmith.core.progress import human_bytes
from goldsmith.errors import HostError, ProvenanceError
from goldsmith.image import manifest
from goldsmith.image.manifest import Manifest
from goldsmith.provenance import (
    archive_content,
    build_inputs,
    checkout_bundle,
    lock_archive,
    lockfile,
    spec_lock,
)
from goldsmith.provenance.build_inputs import BuildInputs, InputEntry
from goldsmith.provenance.lock_archive import ArchivedEntry, ArchivedFile, LockArchive, OpenedArchive
from goldsmith.provenance.lockfile import Lock
from goldsmith.spec.load import LoadedSpec

_NO_COMMIT = "nogit"
_SPARE = 64 << 20  # bytes of the disk that an import leaves free


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedLock(Document):
    """The answer of lock --export."""

    SCHEMA: ClassVar[str] = "goldsmith.lock-export"

    file: Annotated[Path, about("The archive.")]
    sha256: Annotated[str, about("Hex sha256 of the archive.")]
    size: Annotated[int, about("Bytes of the archive.")]
    build: Annotated[str, about("ID of the build whose inputs it holds.")]
    entries: Annotated[int, about("Number of cache entries in it.")]
    missing: Annotated[tuple[str, ...], about("What a locked build needs that it cannot hold.")]

    def as_text(self) -> str:
        """For a person."""
        lines = [f"not in the archive: {each}" for each in self.missing]
        size = human_bytes(self.size)
        return "\n".join([*lines, f"{self.file}  {size}, {self.entries} entries, sha256 {self.sha256}"])


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportedLock(Document):
    """The answer of lock --import."""

    SCHEMA: ClassVar[str] = "goldsmith.lock-import"

    file: Annotated[Path, about("The archive.")]
    sha256: Annotated[str, about("Hex sha256 of the archive.")]
    added: Annotated[int, about("Number of entries that the cache did not have.")]
    present: Annotated[int, about("Number of entries that it had, which stay as they are.")]
    path: Annotated[str, about("Path of the lock.")]

    def as_text(self) -> str:
        """For a person."""
        return (
            f"{self.file}  sha256 {self.sha256}\n{self.added} entries added to the cache, {self.present} were"
            f" there\n{self.path}"
        )


def export(loaded: LoadedSpec, out: Path, target: Path, *, build: str = "") -> ExportedLock:
    """Write the archive of a spec's lock to target.

    out: the folder of builds; build: the ID of one, by default the newest with the same lock.
    Raises ProvenanceError if no build or cache entry has what the lock names, and as lock_archive.write().
    """
    path = spec_lock.path_of(loaded)
    locked = lockfile.read(path)
    _require_portable(loaded)
    made = _build_of(locked, loaded, out, build)
    with runs.run(out=out) as run, progress.step(f"export {path.name}"):
        sources = {lock_archive.LOCK: path}
        missing = list(_not_carried(loaded, made))
        if locked.build.commit != _NO_COMMIT:
            bundle = run.folder / lock_archive.CHECKOUT
            checkout_bundle.write(paths.project_root(), locked.build.commit, bundle, run.folder)
            sources[lock_archive.CHECKOUT] = bundle
        entries = _all_archived(_needed(locked, made), sources)
        listed = LockArchive(
            lock=_listed(path), entries=tuple(entries),
            checkout=_listed(sources[lock_archive.CHECKOUT]) if lock_archive.CHECKOUT in sources else None,
        )  # fmt: skip
        sha256 = lock_archive.write(target, listed, sources)
    return ExportedLock(
        file=target, sha256=sha256, size=target.stat().st_size, build=made.name, entries=len(entries),
        missing=tuple(missing),
    )  # fmt: skip


def take_in(loaded: LoadedSpec, source: Path) -> ImportedLock:
    """Put the content of an archive into the cache, and its lock beside the spec where there is none.

    All entries come in or none; entries that the cache has stay. Raises ProvenanceError if the archive is
    damaged, or is not that of this spec and checkout, and HostError if the disk is full.
    """
    with progress.step(f"check {source.name}"):
        opened = lock_archive.read(source)
        locked, text = _lock_of(opened, loaded)
        archive_content.require(opened, locked, loaded.spec)
    path = spec_lock.path_of(loaded)
    if path.exists() and path.read_bytes() != text:
        raise ProvenanceError(
            f"{path.name} differs from the lock in {source}",
            hint=f"move {path} away, or use the archive that was made with it",
        )
    new = [each for each in opened.listed.entries if cache.sealed(each.kind, each.key) is None]
    _require_space(new)
    with progress.step(f"import {source.name}"):
        _fill_cache(opened, new)
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            files.write_atomically(path, text)
    return ImportedLock(
        file=source, sha256=opened.sha256, added=len(new), present=len(opened.listed.entries) - len(new),
        path=str(path),
    )  # fmt: skip


def _require_portable(loaded: LoadedSpec) -> None:
    """A Docker engine's images have no content that the cache knows by a name of the spec."""
    containers = loaded.spec.containers
    found = [c.ref for c in containers if c.build is None and c.registry is None]
    for context in build_context.collect(containers, paths.roots_of_specs()):
        unpinned = [image for image in context.foreign if not registry.is_pinned(image)]
        found += [f"{image} ({build_context.location(context.folder, image)})" for image in unpinned]
    if found:
        raise ProvenanceError(
            f"cannot export images of this host's Docker engine: {', '.join(found)}",
            hint="build them from a folder (build), or pin them by digest (registry, FROM)",
        )


def _build_of(locked: Lock, loaded: LoadedSpec, out: Path, build: str) -> Path:
    """The folder of the build whose inputs are those of the lock."""
    name = loaded.spec.name
    if build:
        found = [build_folders.find_build(out, name, build)]
    else:
        found = build_folders.builds_of(out / name)[::-1] if (out / name).is_dir() else []
    for folder in found:
        if (folder / build_inputs.FILE).exists() and build_folders.is_verified(folder):
            made = lockfile.read(folder / spec_lock.FILE)
            if made.index == locked.index and not lockfile.compare(locked, made.parts()):
                return folder
    which = f"build {build}" if build else f"no verified build in {out / name}"
    raise ProvenanceError(
        f"{which} {'does not have' if build else 'has'} the inputs of {name}{lockfile.SUFFIX}",
        hint=f"make one: scripts/inv build-image {name} --locked",
    )


def _not_carried(loaded: LoadedSpec, made: Path) -> Iterator[str]:
    """What a locked build compares that is not in the commit."""
    about_build = Manifest.read(made / manifest.FILE)
    if about_build.commit == _NO_COMMIT:
        yield "the checkout, which is not in git"
    elif about_build.dirty:
        yield "uncommitted changes of the checkout"
    named = dict.fromkeys(_named_by(loaded))
    shipped = [path for path in named if path.is_relative_to(paths.shipped())]
    if shipped and paths.checkout() is None:
        yield f"goldsmith {goldsmith.__version__}, which has to be installed where the archive goes"
    root = paths.project_root()
    left = [path for path in named if path not in shipped]
    yield from (str(path) for path in left if not path.resolve().is_relative_to(root))


def _named_by(loaded: LoadedSpec) -> Iterator[Path]:
    """A spec, and the files and folders that it names, which may lie beside it or in the checkout."""
    spec, root = loaded.spec, paths.project_root()
    yield from (loaded.path, *loaded.elements)
    yield from (context.folder for context in build_context.collect(spec.containers, paths.roots_of_specs()))
    if spec.policy is not None:
        yield root / spec.policy
    for rule in policy.of_spec(spec).rules:
        yield from (key for key in (rule.sigstore_key, rule.trusted_root, rule.gpg_key) if key is not None)
    if spec.base_image is not None and spec.base_image.keyring is not None:
        yield root / spec.base_image.keyring
    yield from (root / folder for folder in spec.verify.tests)


def _needed(locked: Lock, made: Path) -> list[InputEntry]:
    """The entries of the build, and the signed indexes of the lock."""
    indexes = {each["sha256"] for each in (locked.index or {}).values()}
    own = {InputEntry(kind=build_inputs.PACKAGES, key=sha256) for sha256 in indexes}
    return sorted(own | set(BuildInputs.read(made / build_inputs.FILE).entries))


def _all_archived(entries: list[InputEntry], sources: dict[str, Path]) -> list[ArchivedEntry]:
    """The entries of the list; adds their files to sources."""
    found = []
    with progress.meter(unit="entry", total=len(entries)) as meter:
        for number, entry in enumerate(entries, 1):
            meter.at(number, f"{entry.kind}/{entry.key}")
            found.append(_archived(entry, sources))
    return found


def _archived(entry: InputEntry, sources: dict[str, Path]) -> ArchivedEntry:
    sealed = cache.sealed(entry.kind, entry.key)
    if sealed is None:
        raise ProvenanceError(
            f"the cache no longer has {entry.kind}/{entry.key}",
            hint="build again with --locked, then export",
        )
    folder, found = paths.cache_root() / entry.kind / entry.key, {}
    for path, sha256 in sealed.items():
        sources[lock_archive.member(entry.kind, entry.key, path)] = folder / path
        found[path] = ArchivedFile(size=(folder / path).stat().st_size, sha256=sha256)
    return ArchivedEntry(kind=entry.kind, key=entry.key, files=found)


def _listed(path: Path) -> ArchivedFile:
    return ArchivedFile(size=path.stat().st_size, sha256=files.sha256_of(path))


def _lock_of(opened: OpenedArchive, loaded: LoadedSpec) -> tuple[Lock, bytes]:
    """The archive's lock, which must be that of the spec and of this checkout."""
    name = loaded.spec.name
    with tempfile.TemporaryDirectory() as scratch:
        unpacked = Path(scratch) / f"{name}{lockfile.SUFFIX}"
        opened.unpack(lock_archive.LOCK, opened.listed.lock, unpacked)
        locked, text = lockfile.read(unpacked), unpacked.read_bytes()
    if locked.name != name:
        raise ProvenanceError(
            f"{opened.path} is the archive of {locked.name}, not of {name}",
            hint=f"run: scripts/inv lock {locked.name} --import {opened.path}",
        )
    differences = lockfile.compare(locked, spec_lock.checkout(loaded))
    if differences:
        raise ProvenanceError(
            f"the checkout differs from the lock in {opened.path}\n{lockfile.table(differences)}",
            hint=_checkout_hint(opened, locked),
        )
    return locked, text


def _checkout_hint(opened: OpenedArchive, locked: Lock) -> str:
    if opened.listed.checkout is None:
        return f"use the checkout of build {locked.build.id}, and the same --var"
    file = lock_archive.CHECKOUT
    return f"import from its checkout: tar -xf {opened.path} {file} && git clone {file} (and the same --var)"


def _require_space(new: list[ArchivedEntry]) -> None:
    size = sum(file.size for entry in new for file in entry.files.values())
    root = paths.cache_root()
    there = next(folder for folder in (root, *root.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if size and size + _SPARE > free:
        raise HostError(
            f"the import needs {human_bytes(size + _SPARE)} in {there}, which has {human_bytes(free)}",
            hint="run: scripts/inv clean, or set GOLDSMITH_CACHE to a larger disk",
        )


def _fill_cache(opened: OpenedArchive, new: list[ArchivedEntry]) -> None:
    """Add the entries; if one fails, none of them stays."""
    done: list[Path] = []
    try:
        with progress.meter(unit="entry", total=len(new)) as meter:
            for number, entry in enumerate(new, 1):
                meter.at(number, f"{entry.kind}/{entry.key}")
                fill = functools.partial(_fill, opened, entry, done)
                cache.cached(entry.kind, entry.key, fill)
    except BaseException:
        for path in done:
            shutil.rmtree(path, ignore_errors=True)
        raise


def _fill(opened: OpenedArchive, entry: ArchivedEntry, done: list[Path], folder: Path) -> None:
    for path, file in entry.files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        opened.unpack(lock_archive.member(entry.kind, entry.key, path), file, target)
    done.append(paths.cache_root() / entry.kind / entry.key)
