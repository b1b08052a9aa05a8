# SPDX-License-Identifier: Apache-2.0
"""Build contexts: their folders, the images they are FROM, and a reproducible archive of their files."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Protocol, cast

from docker.utils.build import exclude_paths

from goldsmith.containers import dockerfile, dockerfile_parser
from goldsmith.core import paths
from goldsmith.errors import BuildError
from goldsmith.spec.model import ContainerSpec

LOCAL = "goldsmith.local/"  # goldsmith.local/NAME:TAG is built from containers/NAME
ROOTFS = "rootfs.yaml"
_RECIPES = (ROOTFS, "Dockerfile")


class Sink(Protocol):
    def write(self, data: bytes, /) -> int: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """An image that is built here: from a Dockerfile, or (rootfs) from packages alone.

    parents: images built here that it is FROM; foreign: images of a registry (by digest) or of the engine.
    """

    ref: str
    folder: Path
    rootfs: bool
    parents: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()


def collect(containers: Sequence[ContainerSpec], roots: Sequence[Path]) -> tuple[Context, ...]:
    """The contexts of containers and of the images they are FROM, parents first. Raises BuildError.

    roots: folders with containers/; build paths are relative to the first one.
    """
    folders = {c.ref: roots[0] / c.build for c in containers if c.build is not None}
    done: dict[str, Context] = {}

    def visit(ref: str, below: tuple[str, ...]) -> None:
        if ref in below:
            loop = " -> ".join([*below, ref])
            raise BuildError(
                f"container images are FROM each other: {loop}", hint="change one of these FROM lines"
            )
        if ref in done:
            return
        context = _read(ref, folders, roots)
        for parent in context.parents:
            visit(parent, (*below, ref))
        done[ref] = context

    for ref in folders:
        visit(ref, ())
    return tuple(done.values())


def pack(folder: Path, sink: Sink, *, mtime: int = 0, instead: str | None = None) -> None:
    """Write folder as a tar archive that depends on names, contents and x bits alone; obeys .dockerignore.

    instead: text that replaces the Dockerfile.
    """
    ignore = folder / ".dockerignore"
    patterns = ignore.read_text().splitlines() if ignore.is_file() else []
    patterns = [line.strip() for line in patterns if line.strip() and not line.startswith("#")]
    with tarfile.open(fileobj=cast(IO[bytes], sink), mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(exclude_paths(os.fspath(folder), patterns, dockerfile="Dockerfile")):
            if instead is not None and name == "Dockerfile":
                _add_data(archive, instead.encode(), name, mtime)
            else:
                _add(archive, folder / name, name, mtime)


def pack_files(files: Mapping[str, bytes], sink: Sink) -> None:
    """Write a context of these files (content by name)."""
    with tarfile.open(fileobj=cast(IO[bytes], sink), mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for name, data in sorted(files.items()):
            _add_data(archive, data, name, 0)


def digest(folder: Path) -> str:
    """Hex sha256 of the archive that pack() writes."""
    sink = _Hash()
    pack(folder, sink)
    return sink.sha256.hexdigest()


class _Hash:
    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes, /) -> int:
        self.sha256.update(data)
        return len(data)


def location(folder: Path, image: str) -> str:
    """DOCKERFILE:LINE of the first line that names image; without a line if it is composed of arguments."""
    path = folder / "Dockerfile"
    lines = path.read_text().splitlines()
    found = (number for number, line in enumerate(lines, 1) if image in line.replace("=", " ").split())
    number = next(found, None)
    return f"{_shown(path)}:{number}" if number else str(_shown(path))


def _shown(path: Path) -> Path:
    root = paths.project_root()
    return path.relative_to(root) if path.is_relative_to(root) else path


def _add_data(archive: tarfile.TarFile, data: bytes, name: str, mtime: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.mtime, entry.mode, entry.size = mtime, 0o644, len(data)
    archive.addfile(entry, io.BytesIO(data))


def _add(archive: tarfile.TarFile, path: Path, name: str, mtime: int) -> None:
    status = path.lstat()
    entry = tarfile.TarInfo(name)
    entry.mtime = mtime
    entry.mode = 0o755 if stat.S_ISDIR(status.st_mode) or status.st_mode & 0o100 else 0o644
    if stat.S_ISLNK(status.st_mode):
        entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
        archive.addfile(entry)
    elif stat.S_ISDIR(status.st_mode):
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
    elif stat.S_ISREG(status.st_mode):
        entry.size = status.st_size
        with path.open("rb") as source:
            archive.addfile(entry, source)
    else:
        raise BuildError(f"{path} is not a file, folder or symbolic link", hint="exclude it in .dockerignore")


def _read(ref: str, folders: Mapping[str, Path], roots: Sequence[Path]) -> Context:
    folder = _folder(ref, folders, roots)
    assert folder is not None
    if (folder / ROOTFS).is_file():
        return Context(ref=ref, folder=folder, rootfs=True)
    try:
        text = dockerfile_parser.read(folder / "Dockerfile")
    except OSError as e:
        raise BuildError(
            f"cannot build {ref}: {folder} has no Dockerfile",
            hint="correct the key 'build' of this container in the spec",
        ) from e
    instructions = dockerfile_parser.parse(text)
    dockerfile.require_buildable(_shown(folder / "Dockerfile"), instructions)
    images = tuple(dict.fromkeys(image for _, image in dockerfile.images(instructions)))
    ours = tuple(image for image in images if _folder(image, folders, roots) is not None)
    foreign = tuple(image for image in images if image not in ours)
    _require_known(folder, foreign, roots)
    return Context(ref=ref, folder=folder, rootfs=False, parents=ours, foreign=foreign)


def _require_known(folder: Path, foreign: Sequence[str], roots: Sequence[Path]) -> None:
    """Raise BuildError for an image by our own name that has no context: no registry has it either."""
    known = {
        path.parent.name for root in roots for file in _RECIPES for path in root.glob(f"containers/*/{file}")
    }
    for image in foreign:
        name, _, tag = image.removeprefix(LOCAL).partition(":")
        if image.startswith(LOCAL):
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean '{LOCAL}{close[0]}:{tag or 1}'?" if close else None
            raise BuildError(
                f"{location(folder, image)}: there is no folder containers/{name} for the image {image}",
                hint=hint or f"add the folder, or use one of: {', '.join(sorted(known))}",
            )


def _folder(ref: str, folders: Mapping[str, Path], roots: Sequence[Path]) -> Path | None:
    if ref in folders:
        return folders[ref]
    if not ref.startswith(LOCAL):
        return None
    name = ref.removeprefix(LOCAL).partition(":")[0]
    found = (root / "containers" / name for root in roots)
    return next((folder for folder in found if folder.is_dir()), None)
