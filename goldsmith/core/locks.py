# SPDX-License-Identifier: Apache-2.0
"""Locks on files: they end with whoever holds them, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = False, taken: Exception | None = None) -> Iterator[int]:
    """Hold this lock; yields the descriptor by which a program that outlives us can go on holding it.

    Where somebody else does and wait is not set, raises taken, by default BlockingIOError.
    """
    with path.open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            if taken is None:
                raise
            raise taken from None
        yield lock.fileno()


def is_held(lock: Path) -> bool:
    """Somebody holds this lock, see locked(); nobody does where there is none."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # two who look are no holders
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
