# SPDX-License-Identifier: Apache-2.0
"""A finished build as a publisher takes it: checked against its manifest, and as the record of a release.

The record travels with the release, so that a machine without out/ can say what is in it.
"""

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


@dataclass(frozen=True, kw_only=True, slots=True)
class DiskFile:
    """A disk image on this machine, whose bytes were hashed just now; size in bytes."""

    path: Path
    format: str
    size: int
    sha256: str
    sha512: str

    def hashed_by(self, algorithm: str) -> str:
        """Hex digest by another algorithm of hashlib's. Raises PublishError for one that it does not know."""
        try:
            with self.path.open("rb") as source:
                return hashlib.file_digest(source, algorithm).hexdigest()
        except ValueError as e:
            raise PublishError(f"cannot compare hashes made by {algorithm}") from e


@dataclass(frozen=True, kw_only=True, slots=True)
class Build:
    """A build that was verified, and whose files are what its manifest says."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.manifest["build_id"])


def read(folder: Path, error: type[GoldsmithError] = PublishError, *, name: str = "") -> Build:
    """A verified build, after a look at every file but the disks. Raises error.

    name: the spec that it has to be of, whatever folder it lies in; empty: any.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        disk, verdict, files = manifest["disks"][0], manifest.get("verification"), manifest["files"]
        if manifest["build_id"] != folder.name:
            raise error(f"the manifest in {folder} is that of {manifest['build_id']}")
        if name and manifest["name"] != name:
            raise error(f"{folder} is a build of {manifest['name']}, not of {name}")
        if not verdict or verdict["result"] != "passed":
            raise error(f"{folder} was not verified", hint="publish a build that latest pointed to")
        if verdict["image_sha256"] != disk["sha256"]:
            raise error(f"the manifest in {folder} contradicts itself: another disk was verified")
    except (OSError, ValueError, KeyError, TypeError, IndexError) as e:
        raise error(f"cannot use the manifest in {folder}: {type(e).__name__}: {e}") from e
    for name, sha256 in files.items():
        path = folder / name
        if not path.is_file() or sha256_of(path) != sha256:
            raise error(f"{path} is not what the manifest says", hint="build it anew; nothing is changed")
    return Build(folder=folder, manifest=manifest)


def disk(build: Build, format_: str) -> DiskFile:
    """The build's disk in a format; one that it did not make is converted, compared and kept in the cache."""
    made = {each["format"]: each for each in build.manifest["disks"]}
    if format_ in made:
        return _checked(build.folder / made[format_]["file"], format_, made[format_])
    qcow2 = _checked(build.folder / made["qcow2"]["file"], "qcow2", made["qcow2"])
    name = f"{qcow2.path.stem}.{format_}"
    entry = cache.cached(f"disk-{format_}", qcow2.sha256, lambda folder: _convert(qcow2, folder / name))
    return _hashed(next(path for path in entry.iterdir() if path.suffix == f".{format_}"), format_)


def _checked(path: Path, format_: str, said: Mapping[str, Any]) -> DiskFile:
    try:
        found = _hashed(path, format_)
    except OSError as e:
        raise PublishError(f"cannot read {path}: {e.strerror}") from e
    if (found.size, found.sha256, found.sha512) != (said["size"], said["sha256"], said["sha512"]):
        raise PublishError(f"{path} is not what its manifest says", hint="build it anew; nothing is changed")
    return found


def _hashed(path: Path, format_: str) -> DiskFile:
    with progress.step(f"hash {path.name}"):
        sha256, sha512, size = hashes_of(path)
    return DiskFile(path=path, format=format_, size=size, sha256=sha256, sha512=sha512)


def _convert(qcow2: DiskFile, target: Path) -> None:
    """The other format holds the same, by qemu-img's own comparison, or is not used."""
    format_ = target.suffix.removeprefix(".")
    with progress.step(f"convert to {format_}"):
        try:
            qemu_img.convert(qcow2.path, target, format_)
            qemu_img.require_identical(qcow2.path, "qcow2", target, format_)
        except CommandError as e:
            raise PublishError(
                f"{qcow2.path.name} cannot be converted to {format_}, or the two differ: {e}"
            ) from e
