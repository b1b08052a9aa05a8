# SPDX-License-Identifier: Apache-2.0
"""Wait for a condition with a monotonic deadline, or do something while one waits."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")


class Deadline(Exception):
    """The condition did not come true in time."""


class Died(Exception):
    """The condition can no longer come true."""


def wait_until(
    probe: Callable[[], T | None],
    *,
    timeout_s: float,
    alive: Callable[[], bool] = lambda: True,
    interval_s: float = 0.2,
) -> T:
    """Call probe until it returns something true, and return that.

    Raises Died as soon as both alive() and the probe are false, Deadline after timeout_s seconds.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        result = probe()
        if result:
            return result
        if not alive():
            result = probe()  # it may have come true since the last call, and be the reason for the end
            if result:
                return result
            raise Died
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise Deadline
        time.sleep(min(interval_s, left_s))


@contextlib.contextmanager
def meanwhile(call: Callable[[], object], *, interval_s: float = 0.5) -> Iterator[None]:
    """Call it again and again in a thread, with our context, while the block lasts."""
    done = threading.Event()

    def repeat() -> None:
        while not done.wait(interval_s):
            call()

    thread = threading.Thread(target=copy_context().run, args=(repeat,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
