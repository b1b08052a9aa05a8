# SPDX-License-Identifier: Apache-2.0
"""The folders that goldsmith reads and writes: checkout, output, cache, scratch; full disks."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from goldsmith.errors import HostError

_FULL = (errno.ENOSPC, errno.EDQUOT)


def project_root() -> Path:
    """The checkout: the folder that holds elements/, image-specs/ and this package."""
    return Path(__file__).resolve().parent.parent.parent


def out_root(named: str | Path = "") -> Path:
    """The output folder: that of --out (named), else $GOLDSMITH_OUT, else out/ in the checkout."""
    return Path(named or os.environ.get("GOLDSMITH_OUT") or project_root() / "out").absolute()


def cache_root() -> Path:
    """The cache: $GOLDSMITH_CACHE, else goldsmith/ in the user's XDG cache folder."""
    if explicit := os.environ.get("GOLDSMITH_CACHE"):
        return Path(explicit).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "goldsmith"


def roots(out: Path | None = None) -> dict[Path, str]:
    """The folders that we write to, with the setting that moves each; out: the run's own, if it has one."""
    roots = {scratch_root(): "GOLDSMITH_SCRATCH", cache_root(): "GOLDSMITH_CACHE"}
    return {**roots, out or out_root(): "GOLDSMITH_OUT" if out in (None, out_root()) else "--out"}


def scratch_root() -> Path:
    """Folders of running builds: $GOLDSMITH_SCRATCH, else one per user in /var/tmp.

    diskimage-builder and Unix sockets need a short path without spaces, on a disk and not a tmpfs.
    Raises HostError if another user owns it.
    """
    root = Path(os.environ.get("GOLDSMITH_SCRATCH") or f"/var/tmp/goldsmith-{os.geteuid()}")  # noqa: S108 - checked
    if " " in str(root) or len(str(root)) > 60:
        raise HostError(
            f"the scratch folder {root} has a space or is longer than 60 characters",
            hint="set GOLDSMITH_SCRATCH to a short path on a disk",
        )
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if root.is_symlink() or root.stat().st_uid != os.geteuid():
        raise HostError(
            f"the scratch folder {root} belongs to another user",
            hint="set GOLDSMITH_SCRATCH to your own folder",
        )
    return root


def raise_if_full(error: OSError, roots: Mapping[Path, str]) -> None:
    """Raise HostError if the cause of error is a full disk, or a full quota.

    roots: the folders that we write to, with the setting that moves each; the message names the fullest.
    """
    # shutil.Error has no errno: it lists the errors of many files in its text
    if error.errno not in _FULL and not any(f"[Errno {code}]" in str(error) for code in _FULL):
        return
    there = [root for root in roots if root.exists()]
    root = min(there, key=lambda root: shutil.disk_usage(root).free)
    raise HostError(
        f"the disk of {root} is full", hint=f"run: scripts/inv clean, or set {roots[root]} to a larger disk"
    ) from error
