# SPDX-License-Identifier: Apache-2.0
"""The state of each deployment on disk: ran, then signalled. It survives the agent and a reboot."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RAN, SIGNALLED, REFUSED = "ran", "signalled", "refused"
_KEPT = 100  # records of deployments that Heat has replaced since
_ROOM_BYTES = 256 * 1024  # kept free for a record where the disk is full


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """ran: there is an answer, which Heat does not have; signalled: Heat has it; refused: Heat rejects it."""

    state: str
    answer: Mapping[str, Any]
    unheard: str = ""  # a failure with NO_SIGNAL, of which no signal has told yet


class Records:
    """A folder with one file for each deployment's id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        make_folder_durably(folder, mode=0o700)
        self._room = folder / ".room"
        if not self._room.exists():
            with contextlib.suppress(OSError):
                write_durably(self._room, " " * _ROOM_BYTES)

    def get(self, id_: str) -> Record | None:
        """The record; None also for a file that a crash left empty or broken: the hook then runs again."""
        try:
            stored = json.loads(self._path(id_).read_text())
            return Record(
                state=stored["state"], answer=stored["answer"], unheard=str(stored.get("unheard") or "")
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def put(self, id_: str, record: Record) -> None:
        """Write a record atomically, also in case of a power failure. Raises OSError.

        On a full disk it takes the room that was kept: without a record a hook would run again, and again.
        """
        path = self._path(id_)
        unheard = {"unheard": record.unheard} if record.unheard else {}
        text = json.dumps({"state": record.state, "answer": record.answer, **unheard}, sort_keys=True)
        try:
            write_durably(path, text)
        except OSError as e:
            if e.errno != errno.ENOSPC or not self._room.exists():
                raise
            self._room.unlink()
            write_durably(path, text)

    def forget_replaced(self, current: Iterable[str]) -> None:
        """Remove the oldest records of ids that Heat no longer names."""
        names = {self._path(id_).name for id_ in current}
        replaced = [path for path in self._folder.glob("*.json") if path.name not in names]
        replaced.sort(key=lambda path: path.stat().st_mtime)
        for path in replaced[: max(0, len(replaced) - _KEPT)]:
            path.unlink(missing_ok=True)

    def _path(self, id_: str) -> Path:
        return self._folder / f"{''.join(c for c in id_ if c.isalnum() or c in '-_')}.json"


def write_durably(path: Path, text: str) -> None:
    """Replace path by a file with this text, mode 0600, synced with its folder. Raises OSError."""
    partial = path.with_name(f".{path.name}.new")
    try:
        with os.fdopen(os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as target:
            target.write(text)
            target.flush()
            os.fsync(target.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the disk hold which files a folder has: those made, renamed or removed in it. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder_durably(folder: Path, *, mode: int = 0o777) -> None:
    """Make a folder, and those it is in, unless it is there. Raises OSError."""
    if not folder.is_dir():
        make_folder_durably(folder.parent)
        folder.mkdir(mode=mode, exist_ok=True)
        sync_folder(folder.parent)


def remove_durably(paths: Iterable[Path]) -> None:
    """Remove files, as far as they are there; the disk knows of it afterwards. Raises OSError."""
    removed = set()
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            removed.add(path.parent)
    for folder in sorted(removed):
        sync_folder(folder)
