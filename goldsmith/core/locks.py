# SPDX-License-Identifier: Apache-2.0
"""File locks (flock(2)): the kernel releases them when their holder ends, however that happens."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = False, taken: Exception | None = None) -> Iterator[int]:
    """Hold a lock; yields its descriptor, with which a program that outlives us can keep it.

    If another process holds it and wait is false, raises taken, by default BlockingIOError.
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
    """A process holds this lock; false if the file does not exist."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(
                file, fcntl.LOCK_SH | fcntl.LOCK_NB
            )  # shared: two callers of is_held() do not disturb each other
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
