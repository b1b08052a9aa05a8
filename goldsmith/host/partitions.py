# SPDX-License-Identifier: Apache-2.0
"""Find the way in which partitions of a loop device get device nodes on this host, by trying it."""

from __future__ import annotations

import contextlib
import functools
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from goldsmith.core import privilege, proc, runs
from goldsmith.errors import CommandError, HostError

Mapper = Literal["kpartx", "blkpg"]

_DISK_MIB = 4
_SECTOR = 512


@functools.cache
def partition_mapper() -> Mapper:
    """kpartx or blkpg, whichever works on this host; tried once. Raises HostError if neither does."""
    with runs.run_folder(None) as folder:
        return find(folder)


def find(folder: Path) -> Mapper:
    """kpartx (device-mapper) where it works, else blkpg (partx); tried on a small file in folder.

    folder should be a run's, so that clean-up finds the loop device if we are killed. Raises HostError if
    there are no loop devices, or if neither way makes a node.
    """
    with _loop_device(folder) as device:
        name = Path(device).name
        if _maps(("kpartx", "-avs", device), Path(f"/dev/mapper/{name}p1"), ("kpartx", "-d", device)):
            return "kpartx"
        if _maps(("partx", "--add", device), Path(f"{device}p1"), ("partx", "--delete", device)):
            return "blkpg"
    raise HostError(
        "neither kpartx nor partx makes device nodes for partitions of a loop device",
        hint="run on a host where device-mapper works (modprobe dm_mod), or where /dev is a devtmpfs",
    )


def disk_with_one_partition() -> bytes:
    """A small disk with an MBR (UEFI specification, 5.2.1): one Linux partition from 1 MiB on."""
    first = 1024 * 1024 // _SECTOR
    sectors = (_DISK_MIB - 1) * 1024 * 1024 // _SECTOR
    entry = struct.pack("<B3sB3sII", 0, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", first, sectors)
    mbr = bytes(446) + entry + bytes(48) + b"\x55\xaa"
    return mbr + bytes(_DISK_MIB * 1024 * 1024 - len(mbr))


@contextlib.contextmanager
def _loop_device(folder: Path) -> Iterator[str]:
    disk = folder / "partition-trial.raw"
    disk.write_bytes(disk_with_one_partition())
    try:
        try:
            device = proc.capture(privilege.as_root(("losetup", "--find", "--show", disk))).strip()
        except CommandError as e:
            raise HostError(
                f"cannot set up a loop device: {' '.join(e.tail)}",
                hint="run: sudo modprobe loop; a container needs /dev/loop-control and CAP_SYS_ADMIN",
            ) from e
        try:
            yield device
        finally:
            proc.capture(privilege.as_root(("losetup", "--detach", device)))
    finally:
        disk.unlink()


def _maps(add: tuple[str, ...], node: Path, delete: tuple[str, ...]) -> bool:
    try:
        proc.capture(privilege.as_root(add), timeout_s=20)
        return _appears(node)
    except (CommandError, HostError):
        return False
    finally:
        with contextlib.suppress(CommandError, HostError):
            proc.capture(privilege.as_root(delete), timeout_s=20)


def _appears(node: Path) -> bool:
    """Wait up to 3 s: udev, or the kernel, may need a moment."""
    deadline = time.monotonic() + 3
    while not node.exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
