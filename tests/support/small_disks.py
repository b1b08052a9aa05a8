# SPDX-License-Identifier: Apache-2.0
"""File systems that fill up."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from goldsmith.core import proc


@contextlib.contextmanager
def mounted(folder: Path, at: Path, *, mib: int) -> Iterator[None]:
    """A sparse file system in a file in folder, mounted at a folder while the block lasts."""
    assert not at.is_mount(), f"{at} is mounted already"
    disk = folder / "small.raw"
    try:
        with disk.open("wb") as sink:
            sink.truncate(mib << 20)
        proc.capture(["mkfs.ext4", "-q", "-m", "0", disk])
        at.mkdir(exist_ok=True)
        proc.capture(["mount", "-o", "loop", disk, at])
        try:
            yield
        finally:
            proc.capture(["umount", at])
    finally:
        disk.unlink()


@contextlib.contextmanager
def filled(at: Path, *, mib: int) -> Iterator[None]:
    """No room on it while the block lasts. mib: at least its size."""
    argv = ["fallocate", "-l", f"{mib}M", str(at / "fill")]
    assert subprocess.run(argv, capture_output=True, check=False).returncode != 0, "not full"
    try:
        yield
    finally:
        (at / "fill").unlink()
