# SPDX-License-Identifier: Apache-2.0
"""The folders that goldsmith reads and writes: project, shipped files, output, cache, scratch; full disks."""

from __future__ import annotations

import errno
import importlib.resources
import os
import re
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from goldsmith.errors import HostError

# Characters: the kernel keeps 63 of a loop device's path (reaper.py), and sockets have at most 107.
_LONGEST_SCRATCH = 48
_NOBODY = 65534  # whom the root folder belongs to in some containers (user_namespaces(7))
_FULL = (errno.ENOSPC, errno.EDQUOT)
_PAGE = re.compile(r"(?<![\w./-])docs/[\w/-]+\.md")
_SHIPPED = "shipped"  # pyproject.toml maps folders of the checkout there in a wheel


def checkout() -> Path | None:
    """The checkout that this package is in; None where it was installed from a wheel."""
    package = _package()
    return None if (package / _SHIPPED).is_dir() else package.parent


def project_root() -> Path:
    """The folder of the user's own files: the checkout, or the current folder where there is none."""
    return checkout() or Path.cwd()


def shipped(name: str = "") -> Path:
    """A file or folder that comes with goldsmith, by its path in a checkout; without a name, their folder."""
    return (checkout() or _package() / _SHIPPED) / name


def roots_of_specs() -> tuple[Path, ...]:
    """Where image-specs/ and all that a spec names may lie: the user's own files first."""
    return tuple(dict.fromkeys((project_root(), shipped())))


def as_typed(text: str) -> str:
    """A message about commands and pages of a checkout, as users of this goldsmith type and find them."""
    if checkout() is not None:
        return text
    return _PAGE.sub(lambda page: str(shipped(page[0])), text.replace("scripts/inv", "goldsmith"))


def out_root(named: str | Path = "") -> Path:
    """The output folder: that of --out (named), else $GOLDSMITH_OUT, else out/ in project_root()."""
    return Path(named or os.environ.get("GOLDSMITH_OUT") or project_root() / "out").absolute()


def _package() -> Path:
    return Path(str(importlib.resources.files("goldsmith"))).resolve()


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
    """Folders of running builds: $GOLDSMITH_SCRATCH, else one per user in /var/tmp; its path has no links.

    In a folder that others may write to, or that belongs to another user, it is a folder of our own.
    diskimage-builder and Unix sockets need a short path without spaces, on a disk and not a tmpfs.
    Raises HostError if it cannot be made, belongs to another user, or others may replace it.
    """
    named = Path(os.environ.get("GOLDSMITH_SCRATCH") or "/var/tmp")  # noqa: S108 - never used itself
    try:
        base = named.resolve()
    except RuntimeError as e:
        raise HostError(
            f"the scratch folder {named} is a link that leads back to itself",
            hint="set GOLDSMITH_SCRATCH to a folder of your own",
        ) from e
    _require_usable(base)
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        root = base
        if not _is_ours_alone(base):
            root = base / f"goldsmith-{os.geteuid()}"
            _require_usable(root)
            root.mkdir(mode=0o700, exist_ok=True)
        is_ours, exposed = _is_ours_alone(root), _exposed(root)
    except OSError as e:
        raise HostError(
            f"cannot make the scratch folder {base}: {e.strerror}",
            hint="set GOLDSMITH_SCRATCH to a folder of your own",
        ) from e
    if not is_ours or exposed is not None:
        where = "" if exposed is None else f" (see the rights of {exposed})"
        raise HostError(
            f"the scratch folder {root} belongs to another user, or others may replace it{where}",
            hint="set GOLDSMITH_SCRATCH to a folder of your own",
        )
    return root


def _exposed(folder: Path) -> Path | None:
    """The folder above in which another user can put something else in its place; None if there is none."""
    user = os.geteuid()
    for above in folder.parents:
        about = above.stat()
        is_own_group = about.st_gid == 0 if user == 0 else about.st_uid == user  # as umask 002 leaves it
        others = stat.S_IWOTH if is_own_group else stat.S_IWOTH | stat.S_IWGRP
        others_write = about.st_mode & others and not about.st_mode & stat.S_ISVTX
        if others_write or about.st_uid not in {0, user, _NOBODY}:
            return above
    return None


def _require_usable(scratch: Path) -> None:
    if re.search(r"\s", str(scratch)) or len(str(scratch)) > _LONGEST_SCRATCH:
        raise HostError(
            f"the scratch folder {scratch} has a space or is longer than {_LONGEST_SCRATCH} characters",
            hint="set GOLDSMITH_SCRATCH to a short path on a disk",
        )


def _is_ours_alone(folder: Path) -> bool:
    """It is a folder, no link, of this user, and nobody else may write to it."""
    about = folder.lstat()
    others_write = about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid() and not others_write


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
