# SPDX-License-Identifier: Apache-2.0
"""Take finished disk images into the build folder: formats, hashes, checksum files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from goldsmith.core import files
from goldsmith.core.documents import about
from goldsmith.core.files import write_atomically
from goldsmith.errors import BuildError, CommandError
from goldsmith.image import qemu_img
from goldsmith.spec.model import DiskFormat, ImageSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Disk:
    """A finished disk image in the build folder; sizes in bytes."""

    file: Annotated[str, about("Name of the file in the build folder.")]
    format: Annotated[str, about("Format: qcow2 or raw.")]
    sha256: Annotated[str, about("Hex sha256 of the file.")]
    sha512: Annotated[str, about("Hex sha512 of the file.")]
    size: Annotated[int, about("Bytes of the file.")]
    virtual_size: Annotated[int, about("Bytes of the disk that a server sees.")]


def take_in(image: Path, spec: ImageSpec, build: Path) -> tuple[Disk, ...]:
    """Move the finished qcow2 into the build folder, convert it to the other formats, and hash them all.

    Raises BuildError if qemu-img finds that a converted image differs.
    """
    qcow2 = build / f"{spec.name}-{spec.arch}.qcow2"
    partial = qcow2.with_name(qcow2.name + ".part")
    files.move(image, partial)
    partial.rename(qcow2)
    disks = [_disk(qcow2, DiskFormat.qcow2)]
    if DiskFormat.raw in spec.disk.formats:
        raw = qcow2.with_suffix(".raw")
        partial = raw.with_name(raw.name + ".part")
        qemu_img.convert(qcow2, partial, "raw")
        partial.rename(raw)
        try:
            qemu_img.require_identical(qcow2, "qcow2", raw, "raw")
        except CommandError as e:
            raise BuildError(
                f"{raw.name} differs from {qcow2.name}: {' '.join(e.tail)}",
                hint="build again; if it happens again, check the disk and qemu-img",
            ) from e
        disks.append(_disk(raw, DiskFormat.raw))
    return tuple(disks)


def write_sums(build: Path, disks: Iterable[Disk]) -> None:
    """Write NAME.sha256 beside each disk, in the format of sha256sum."""
    for disk in disks:
        write_atomically(build / f"{disk.file}.sha256", f"{disk.sha256}  {disk.file}\n".encode())


def _disk(path: Path, format_: DiskFormat) -> Disk:
    sha256, sha512, size = files.hashes_of(path, title=f"hash {path.name}")
    return Disk(
        file=path.name, format=format_.value, sha256=sha256, sha512=sha512, size=size,
        virtual_size=int(qemu_img.info(path, format_=format_.value)["virtual-size"]),
    )  # fmt: skip
