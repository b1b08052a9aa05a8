# SPDX-License-Identifier: Apache-2.0
"""Look into a disk image that was never booted: its root file system, mounted read-only."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from goldsmith.core import privilege, proc, progress
from goldsmith.errors import CommandError, VerificationError
from goldsmith.image import qemu_img

BUILD_JSON = "/usr/lib/goldsmith/build.json"
LOCK_JSON = "/usr/lib/goldsmith/images.lock.json"
_SECTOR = 512


@contextlib.contextmanager
def opened(image: Path, *, format_: str, scratch: Path) -> Iterator[Path]:
    """The image's root file system at a folder below scratch, read-only, journal not replayed.

    The image itself is only read; a raw copy of it lies in scratch meanwhile.
    Raises VerificationError if there is no root file system to be found.
    """
    raw, mount = scratch / "sealed.raw", scratch / "sealed"
    mount.mkdir(exist_ok=True)
    progress.live(f"reading {image.name}")
    qemu_img.convert(image, raw, "raw", format_=format_)
    start, size = root_partition(raw, image)
    options = f"ro,noload,loop,offset={start},sizelimit={size}"
    try:
        proc.capture(privilege.as_root(["mount", "-t", "ext4", "-o", options, raw, mount]))
    except CommandError as e:
        raise VerificationError(
            f"{image.name}: its root partition has no ext4 file system: {' '.join(e.tail)}"
        ) from e
    try:
        yield mount
    finally:
        proc.capture(privilege.as_root(["umount", mount]))
        raw.unlink()


def format_of(image: Path) -> str:
    """qcow2 or raw, as qemu-img sees it; raises VerificationError for anything else."""
    try:
        found = qemu_img.info(image)
    except CommandError as e:
        raise VerificationError(f"{image}: qemu-img cannot read it: {' '.join(e.tail)}") from e
    if found["format"] not in {"qcow2", "raw"} or "backing-filename" in found:
        raise VerificationError(f"{image}: is {found['format']}, must be a qcow2 or raw file on its own")
    return str(found["format"])


def resolve(root: Path, path: str) -> Path:
    """Where path is below root, following symbolic links as the guest would, never out of root."""
    done, todo = root, [part for part in path.split("/") if part]
    for _ in range(1000):  # a loop of links ends somewhere
        if not todo:
            return done
        part = todo.pop(0)
        if part == "..":
            done = done.parent if done != root else root
            continue
        candidate = done / part
        if candidate.is_symlink():
            target = str(candidate.readlink())
            done = root if target.startswith("/") else done
            todo = [part for part in target.split("/") if part and part != "."] + todo
        else:
            done = candidate
    return done.joinpath(*todo)  # within the loop, where nothing exists


def read_json(root: Path, path: str) -> dict[str, Any] | None:
    """A JSON file of the image, None where there is none or it is broken."""
    try:
        found = json.loads(resolve(root, path).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def root_partition(raw: Path, image: Path) -> tuple[int, int]:
    """Offset and size, in bytes, of the largest partition (sfdisk(8), --json)."""
    try:
        table = json.loads(proc.capture(["sfdisk", "--json", raw]))["partitiontable"]
    except CommandError as e:
        raise VerificationError(f"{image.name}: has no partition table") from e
    largest = max(table.get("partitions", []), key=lambda p: int(p["size"]), default=None)
    if largest is None:
        raise VerificationError(f"{image.name}: its partition table is empty")
    return int(largest["start"]) * _SECTOR, int(largest["size"]) * _SECTOR
