# SPDX-License-Identifier: Apache-2.0
"""Build contexts: their folders, the images they are FROM, and a reproducible archive of their files."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, cast

from docker.utils.build import exclude_paths

from goldsmith.core.paths import project_root
from goldsmith.errors import BuildError
from goldsmith.spec.model import ContainerSpec

LOCAL = "goldsmith.local/"  # goldsmith.local/NAME:TAG is built from containers/NAME
ROOTFS = "rootfs.yaml"


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


def collect(containers: Sequence[ContainerSpec], root: Path) -> tuple[Context, ...]:
    """The contexts of containers and of the images they are FROM, parents first. Raises BuildError."""
    folders = {c.ref: root / c.build for c in containers if c.build is not None}
    done: dict[str, Context] = {}

    def visit(ref: str, below: tuple[str, ...]) -> None:
        if ref in below:
            loop = " -> ".join([*below, ref])
            raise BuildError(
                f"container images are FROM each other: {loop}", hint="change one of these FROM lines"
            )
        if ref in done:
            return
        context = _read(ref, folders, root)
        for parent in context.parents:
            visit(parent, (*below, ref))
        done[ref] = context

    for ref in folders:
        visit(ref, ())
    return tuple(done.values())


def pack(folder: Path, sink: Sink, *, mtime: int = 0, dockerfile: str | None = None) -> None:
    """Write folder as a tar archive that depends on names, contents and x bits alone; obeys .dockerignore.

    dockerfile: text that replaces the Dockerfile.
    """
    ignore = folder / ".dockerignore"
    patterns = ignore.read_text().splitlines() if ignore.is_file() else []
    patterns = [line.strip() for line in patterns if line.strip() and not line.startswith("#")]
    with tarfile.open(fileobj=cast(IO[bytes], sink), mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(exclude_paths(os.fspath(folder), patterns, dockerfile="Dockerfile")):
            if dockerfile is not None and name == "Dockerfile":
                _add_text(archive, dockerfile, name, mtime)
            else:
                _add(archive, folder / name, name, mtime)


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


def pinned_to(folder: Path, local: Mapping[str, str]) -> str | None:
    """The Dockerfile of folder with names of images (keys of local) replaced; None if there are none.

    Raises BuildError for a name that does not appear there literally, but is composed of arguments.
    """
    if not local:
        return None
    text = (folder / "Dockerfile").read_text()
    for image, name in local.items():
        if image not in text:
            raise BuildError(
                f"{folder / 'Dockerfile'} composes the image name {image} from arguments",
                hint="write name and digest in the FROM line itself",
            )
        text = text.replace(image, name)
    return text


def location(folder: Path, image: str) -> str:
    """DOCKERFILE:LINE of the first line that names image; without a line if it is composed of arguments."""
    path = folder / "Dockerfile"
    lines = path.read_text().splitlines()
    found = (number for number, line in enumerate(lines, 1) if image in line.replace("=", " ").split())
    number = next(found, None)
    shown = path.relative_to(project_root()) if path.is_relative_to(project_root()) else path
    return f"{shown}:{number}" if number else str(shown)


def _add_text(archive: tarfile.TarFile, text: str, name: str, mtime: int) -> None:
    entry = tarfile.TarInfo(name)
    data = text.encode()
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


def _read(ref: str, folders: Mapping[str, Path], root: Path) -> Context:
    folder = _folder(ref, folders, root)
    assert folder is not None
    if (folder / ROOTFS).is_file():
        return Context(ref=ref, folder=folder, rootfs=True)
    try:
        text = (folder / "Dockerfile").read_text()
    except OSError as e:
        raise BuildError(
            f"cannot build {ref}: {folder} has no Dockerfile",
            hint="correct the key 'build' of this container in the spec",
        ) from e
    images = tuple(dict.fromkeys(_images(text)))
    ours = tuple(image for image in images if _folder(image, folders, root) is not None)
    foreign = tuple(image for image in images if image not in ours)
    return Context(ref=ref, folder=folder, rootfs=False, parents=ours, foreign=foreign)


def _folder(ref: str, folders: Mapping[str, Path], root: Path) -> Path | None:
    if ref in folders:
        return folders[ref]
    if not ref.startswith(LOCAL):
        return None
    shipped = root / "containers" / ref.removeprefix(LOCAL).partition(":")[0]
    return shipped if shipped.is_dir() else None


def _images(dockerfile: str) -> Iterator[str]:
    """The images that a Dockerfile uses, without its own stages (Dockerfile reference, FROM, COPY)."""
    arguments: dict[str, str] = {}
    stages: set[str] = {"scratch"}
    for words in _instructions(dockerfile):
        match words[0].upper(), [word for word in words[1:] if not word.startswith("--")]:
            case "ARG", [argument, *_]:
                name, _, default = argument.partition("=")
                arguments.setdefault(name, default.strip("\"'"))
            case "FROM", [image, *alias]:
                image = _expand(image, arguments)
                if image.lower() not in stages:
                    yield image
                stages.update(name.lower() for name in alias[1:2])
            case "COPY" | "ADD", _:
                for option in words[1:]:
                    source = option.removeprefix("--from=")
                    if source != option and not source.isdigit() and source.lower() not in stages:
                        yield source


def _instructions(dockerfile: str) -> Iterator[list[str]]:
    lines = (line for line in dockerfile.splitlines() if not line.lstrip().startswith("#"))
    for line in re.sub(r"\\[ \t]*\n", " ", "\n".join(lines)).splitlines():
        if words := line.split():
            yield words


def _expand(text: str, arguments: Mapping[str, str]) -> str:
    return re.sub(
        r"\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))",
        lambda m: arguments.get(m[1] or m[3]) or m[2] or "",
        text,
    )
