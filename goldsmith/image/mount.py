# SPDX-License-Identifier: Apache-2.0
"""Mount the root file system of an offline disk image, read-only, and read files in it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from goldsmith.core import privilege, proc
from goldsmith.errors import CommandError, VerificationError
from goldsmith.image import qemu_img

BUILD_JSON = "/usr/lib/goldsmith/build.json"
LOCK_JSON = "/usr/lib/goldsmith/images.lock.json"
_SECTOR = 512


@contextlib.contextmanager
def opened(image: Path, *, format_: str, scratch: Path) -> Iterator[Path]:
    """Mount the image's root file system below scratch, read-only, without replaying its journal.

    This mounts a raw copy in scratch, which is removed at the end; the image itself is only read.
    Raises VerificationError if the image has no ext4 root file system.
    """
    raw, mount = scratch / "offline.raw", scratch / "offline"
    mount.mkdir(exist_ok=True)
    qemu_img.convert(image, raw, "raw", format_=format_)
    start, size = root_partition(raw, image)
    options = f"ro,noload,loop,offset={start},sizelimit={size}"
    try:
        proc.capture(privilege.as_root(["mount", "-t", "ext4", "-o", options, raw, mount]))
    except CommandError as e:
        raise VerificationError(
            f"the root partition of {image.name} has no ext4 file system: {' '.join(e.tail)}"
        ) from e
    try:
        yield mount
    finally:
        proc.capture(privilege.as_root(["umount", mount]))
        raw.unlink()


def format_of(image: Path) -> str:
    """qcow2 or raw, as qemu-img detects it. Raises VerificationError for other formats and overlays."""
    try:
        found = qemu_img.info(image)
    except CommandError as e:
        raise VerificationError(f"qemu-img cannot read {image}: {' '.join(e.tail)}") from e
    if found["format"] not in {"qcow2", "raw"} or "backing-filename" in found:
        raise VerificationError(f"{image} is no standalone qcow2 or raw image but {_described(found)}")
    return str(found["format"])


def _described(found: Mapping[str, Any]) -> str:
    backing = found.get("backing-filename")
    return str(found["format"]) if backing is None else f"an overlay of {backing}"


def resolve(root: Path, path: str) -> Path:
    """Resolve a path of the image below root, following links as the guest would, never out of root."""
    done, todo = root, [part for part in path.split("/") if part]
    for _ in range(1000):  # ends a loop of links
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
    return done.joinpath(*todo)  # a path within the loop of links, where nothing exists


def read_json(root: Path, path: str) -> dict[str, Any] | None:
    """A JSON object in a file of the image; None if the file is missing or has anything else."""
    try:
        found = json.loads(resolve(root, path).read_text())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def root_partition(raw: Path, image: Path) -> tuple[int, int]:
    """Offset and size of the largest partition, in bytes."""
    largest = _largest_partition(raw, image)
    return int(largest["start"]) * _SECTOR, int(largest["size"]) * _SECTOR


def number_of_root(raw: Path) -> int:
    """The number of the largest partition, from 1 on."""
    return int(str(_largest_partition(raw, raw)["node"]).removeprefix(str(raw)))


def _largest_partition(raw: Path, image: Path) -> Mapping[str, Any]:
    """As sfdisk(8) describes it with --json."""
    try:
        table = json.loads(proc.capture(["sfdisk", "--json", raw]))["partitiontable"]
    except CommandError as e:
        raise VerificationError(f"{image.name} has no partition table") from e
    largest = max(table.get("partitions", []), key=lambda p: int(p["size"]), default=None)
    if largest is None:
        raise VerificationError(f"the partition table of {image.name} is empty")
    found: Mapping[str, Any] = largest
    return found
