# SPDX-License-Identifier: Apache-2.0
"""Which folders are ours: each that we made has a marker file, and we remove no others."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

FILE = ".goldsmith"
_SHOWN = 5  # names of others
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(slots=True)
class Cleaned:
    """What a clean-up did, a line each. left: what it left alone, and why."""

    removed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def __iadd__(self, other: Self) -> Self:
        self.removed += other.removed
        self.left += other.left
        return self


def mark(folder: Path, kind: str) -> None:
    """Mark a folder as ours; kind: run, cloud, cache or out. Raises OSError."""
    with contextlib.suppress(FileExistsError), (folder / FILE).open("x") as marker:
        marker.write(_text(kind))


def is_ours(folder: Path, kind: str) -> bool:
    """Whether it is a folder, no link, of this user, which only this user can write to, with our marker."""
    try:
        about, marker = folder.lstat(), (folder / FILE).lstat()
        if not stat.S_ISDIR(about.st_mode) or not stat.S_ISREG(marker.st_mode):
            return False
        if {about.st_uid, marker.st_uid} != {os.geteuid()} or about.st_mode & _OTHERS_MAY_WRITE:
            return False
        return (folder / FILE).read_text() == _text(kind)
    except (OSError, ValueError):
        return False


def is_marked(root: Path, kind: str) -> bool:
    """Whether a root, of the cache or of builds, has a marker of this user; others may write to it, too."""
    try:
        about = (root / FILE).lstat()
        is_file_of_ours = stat.S_ISREG(about.st_mode) and about.st_uid == os.geteuid()
        return is_file_of_ours and (root / FILE).read_text() == _text(kind)
    except (OSError, ValueError):
        return False


def claim_root(root: Path, kind: str, is_known: Callable[[Path], bool]) -> list[str]:
    """Names of what is not ours in a root without our marker: nothing in it may be removed then.

    A root in which all is known is new, or of an earlier version: it gets the marker. kind: cache or out.
    """
    if is_marked(root, kind):
        return []
    try:
        foreign = [each.name for each in sorted(root.iterdir()) if each.name != FILE and not is_known(each)]
        if not foreign:
            mark(root, kind)
    except OSError:  # it is not there, or we may not write to it
        return []
    return foreign


def shared(root: Path, foreign: Sequence[str], setting: str) -> str:
    """The line about a root that claim_root() leaves alone; setting: what moves it."""
    shown = ", ".join(foreign[:_SHOWN]) + (", ..." if len(foreign) > _SHOWN else "")
    return f"{root}: nothing in it was removed: it also holds {shown}; set {setting} to a folder of its own"


def _text(kind: str) -> str:
    return f"goldsmith {kind}\n"
