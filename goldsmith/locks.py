# SPDX-License-Identifier: Apache-2.0
"""Locks on files: they end with whoever holds them, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold this lock. Raises BlockingIOError where somebody else does and wait is not set."""
    with path.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def is_held(lock: Path) -> bool:
    """Somebody holds this lock, see locked(); nobody does where there is none."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
