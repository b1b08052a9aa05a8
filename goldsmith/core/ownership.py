# SPDX-License-Identifier: Apache-2.0
"""Which folders are ours: each that we made has a marker file, and we remove no others."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Callable
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
    """Mark a folder as ours, whole or not at all; kind: run, cloud, cache or out. Raises OSError."""
    descriptor, new = tempfile.mkstemp(prefix=f"{FILE}-", dir=folder)
    try:
        with open(descriptor, "w") as marker:  # noqa: PTH123 - it is open
            marker.write(_text(kind))
        with contextlib.suppress(FileExistsError):
            os.link(new, folder / FILE)
    finally:
        os.unlink(new)  # noqa: PTH108 - its name is text


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
    """Whether a root (cache, builds) has a marker of this user, and not everybody may write to it."""
    try:
        about = (root / FILE).lstat()
        is_file_of_ours = stat.S_ISREG(about.st_mode) and about.st_uid == os.geteuid()
        is_open = root.stat().st_mode & stat.S_IWOTH
        return is_file_of_ours and not is_open and (root / FILE).read_text() == _text(kind)
    except (OSError, ValueError):
        return False


def claim_root(root: Path, kind: str, is_known: Callable[[Path], bool]) -> str:
    """Why nothing in a root may be removed; empty where it has our marker. kind: cache or out.

    A root in which all is known is new, or of an earlier version: it gets the marker.
    """
    if not root.exists() or is_marked(root, kind):
        return ""
    try:
        if root.stat().st_mode & stat.S_IWOTH:
            return "everybody may write to it"
        foreign = [each.name for each in sorted(root.iterdir()) if not _is_known(each, is_known)]
        if foreign:
            return f"it also holds {', '.join(foreign[:_SHOWN])}{', ...' if len(foreign) > _SHOWN else ''}"
        mark(root, kind)
    except OSError as e:
        return f"it cannot be marked as ours: {e.strerror}"
    return "" if is_marked(root, kind) else "it is marked by another user, or for another use"


def _is_known(entry: Path, is_known: Callable[[Path], bool]) -> bool:
    """An entry that cannot be read is somebody else's."""
    try:
        return entry.name.startswith(FILE) or is_known(entry)
    except OSError:
        return False


def shared(root: Path, why: str, setting: str) -> str:
    """The line about a root that claim_root() leaves alone; setting: what moves it."""
    return f"{root}: nothing in it was removed: {why}; set {setting} to a folder of its own"


def _text(kind: str) -> str:
    return f"goldsmith {kind}\n"
