# SPDX-License-Identifier: Apache-2.0
"""Read a verified build, check it against its manifest, and provide its disk image in any format."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.core import cache, progress
from goldsmith.core.files import hashes_of, sha256_of
from goldsmith.errors import CommandError, GoldsmithError, PublishError
from goldsmith.image import qemu_img
from goldsmith.image.disk import Disk
from goldsmith.image.manifest import FILE, Manifest


@dataclass(frozen=True, kw_only=True, slots=True)
class DiskFile:
    """A disk image on this machine, just hashed; size in bytes."""

    path: Path
    format: str
    size: int
    sha256: str
    sha512: str

    def hashed_by(self, algorithm: str) -> str:
        """Hex digest by an algorithm of hashlib. Raises PublishError for an unknown algorithm."""
        try:
            with self.path.open("rb") as source:
                return hashlib.file_digest(source, algorithm).hexdigest()
        except ValueError as e:
            raise PublishError(f"cannot hash {self.path}: Python has no algorithm {algorithm}") from e


@dataclass(frozen=True, kw_only=True, slots=True)
class Build:
    """A verified build whose files match its manifest."""

    folder: Path
    manifest: Manifest
    data: Mapping[str, Any]  # the manifest as JSON data, with keys that this release does not know

    @property
    def id(self) -> str:
        return self.manifest.build_id


def read(folder: Path, error: type[GoldsmithError] = PublishError, *, name: str = "") -> Build:
    """Read a verified build and check all its files except the disks. Raises error.

    name: the spec that it must be a build of, whatever its folder is called; empty: any.
    """
    path = folder / FILE
    manifest = Manifest.read(path, error=error)
    if manifest.build_id != folder.name:
        raise error(
            f"{path} is the manifest of {manifest.build_id}, not of {folder.name}",
            hint="use the folder as build-image made it",
        )
    if name and manifest.name != name:
        raise error(
            f"{folder} is a build of {manifest.name}, not of {name}",
            hint="name a build of this spec: --build BUILD_ID",
        )
    verdict = manifest.verification
    if verdict is not None and verdict.result == "quick":
        raise error(
            f"the build {folder} was tested by --quick alone",
            hint="run the command that made it, with --from verify --keep instead of --quick",
        )
    if verdict is None or not verdict.passed:
        raise error(f"the build {folder} was not verified", hint="use a build that latest has pointed to")
    if verdict.image_sha256 != manifest.disk.sha256:
        raise error(f"{path} contradicts itself: its verdict is on another disk image", hint="build again")
    _check_files(folder, manifest, error)
    return Build(folder=folder, manifest=manifest, data=json.loads(path.read_bytes()))


def _check_files(folder: Path, manifest: Manifest, error: type[GoldsmithError]) -> None:
    for name, sha256 in manifest.files.items():
        path = folder / name
        if not path.is_file() or sha256_of(path) != sha256:
            raise error(
                f"{path} differs from its manifest", hint="build the image again; nothing was changed"
            )


def disk(build: Build, format_: str) -> DiskFile:
    """The disk of a build in a format. A format that the build lacks is converted, compared and cached."""
    made = {each.format: each for each in build.manifest.disks}
    if format_ in made:
        return _checked(build.folder, made[format_])
    qcow2 = _checked(build.folder, made["qcow2"])
    name = f"{qcow2.path.stem}.{format_}"
    entry = cache.cached(f"disk-{format_}", qcow2.sha256, lambda folder: _convert(qcow2, folder / name))
    return _hashed(next(path for path in entry.iterdir() if path.suffix == f".{format_}"), format_)


def _checked(folder: Path, recorded: Disk) -> DiskFile:
    path = folder / recorded.file
    try:
        found = _hashed(path, recorded.format)
    except OSError as e:
        raise PublishError(f"cannot read {path}: {e.strerror}", hint="check the build folder") from e
    if (found.size, found.sha256, found.sha512) != (recorded.size, recorded.sha256, recorded.sha512):
        raise PublishError(
            f"{path} differs from its manifest", hint="build the image again; nothing was changed"
        )
    return found


def _hashed(path: Path, format_: str) -> DiskFile:
    with progress.step(f"hash {path.name}"):
        sha256, sha512, size = hashes_of(path)
    return DiskFile(path=path, format=format_, size=size, sha256=sha256, sha512=sha512)


def _convert(qcow2: DiskFile, target: Path) -> None:
    """Convert a disk, and have qemu-img compare the two."""
    format_ = target.suffix.removeprefix(".")
    with progress.step(f"convert to {format_}"):
        try:
            qemu_img.convert(qcow2.path, target, format_)
            qemu_img.require_identical(qcow2.path, "qcow2", target, format_)
        except CommandError as e:
            raise PublishError(
                f"{qcow2.path.name} cannot be converted to {format_}, or the two differ: {e}",
                hint="check the free disk space, then run it again",
            ) from e
