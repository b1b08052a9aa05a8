# SPDX-License-Identifier: Apache-2.0
"""A deadline for work as a whole: a server that answers byte by byte never meets a socket's timeout."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

REQUEST_S = 120  # for a request to Heat: its redirects, its headers and its whole answer


class Exceeded(Exception):
    """The work was not done in time. No OSError, which a library would take for one of its connection."""


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise Exceeded in the body when it takes longer. For the main thread alone, and not nested: SIGALRM."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise Exceeded(f"no whole answer in {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    # once more each second: the first may come where no exception leaves, as in a destructor
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)
    try:
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)  # again: the alarm may have come before the first was called
        signal.signal(signal.SIGALRM, before)
