# SPDX-License-Identifier: Apache-2.0
"""Remove a folder without leaving it: not by a link, and not into what is mounted below it.

`python -m goldsmith.core.removal FOLDER` does the same as root, behind sudo.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from goldsmith.core import ownership, privilege, proc
from goldsmith.errors import CommandError, HostError

_LAST = {"lock", ownership.FILE}  # what says whose a folder is: another try has to find it
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(folder: Path) -> bool:
    """Remove what can be removed of folder and all below it; whether it is gone then.

    Whatever is mounted at or below it stays, bind mounts of the same file system too.
    """
    with contextlib.suppress(OSError, RecursionError), _opened(folder.parent) as parent:
        _remove(folder.name, parent, _mount_of(parent))
    return not os.path.lexists(folder)


def remove_tree_as_root(folder: Path) -> bool:
    """As remove_tree(), also what root left there; an ordinary user needs sudo for that."""
    if remove_tree(folder) or os.geteuid() == 0:
        return not os.path.lexists(folder)
    argv = privilege.as_root([sys.executable, "-P", "-m", "goldsmith.core.removal", folder])
    with contextlib.suppress(CommandError, HostError):
        proc.capture(argv, cwd=Path(__file__).parent.parent.parent, timeout_s=300)
    return not os.path.lexists(folder)


def _remove(name: str, parent: int, mount: str) -> None:
    """Remove an entry of a folder. Whatever cannot be removed stays, and so do the folders above it."""
    try:
        folder = os.open(name, _FOLDER, dir_fd=parent)
    except OSError:  # not a folder, or one that we may not open
        _try_to_remove(name, parent)
        return
    try:
        if _mount_of(folder) != mount:
            return
        with contextlib.suppress(OSError):
            names = os.listdir(folder)
            for entry in names:
                if entry not in _LAST:
                    _remove(entry, folder, mount)
            if set(os.listdir(folder)) <= _LAST:
                for entry in _LAST & set(names):
                    _try_to_remove(entry, folder)
    finally:
        os.close(folder)
    _try_to_remove(name, parent)


def _try_to_remove(name: str, parent: int) -> None:
    with contextlib.suppress(OSError):
        try:
            os.unlink(name, dir_fd=parent)
        except IsADirectoryError:
            os.rmdir(name, dir_fd=parent)


def _mount_of(descriptor: int) -> str:
    """The ID of the mount that an open folder is on (proc_pid_fdinfo(5))."""
    for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines():
        if line.startswith("mnt_id:"):
            return line.removeprefix("mnt_id:").strip()
    raise OSError(f"/proc/self/fdinfo/{descriptor} names no mount")


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    remove_tree(Path(sys.argv[1]))
