# SPDX-License-Identifier: Apache-2.0
"""Wait for something, with a monotonic deadline, and notice early that it has died."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Deadline(Exception):
    """What was waited for did not come in time."""


class Died(Exception):
    """What was waited for can no longer come."""


def wait_until(
    probe: Callable[[], T | None],
    *,
    timeout_s: float,
    alive: Callable[[], bool] = lambda: True,
    interval_s: float = 0.2,
) -> T:
    """Call probe until it returns something true, and return that.

    Raises Died as soon as alive() is false and the probe still is, Deadline after timeout_s seconds.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        result = probe()
        if result:
            return result
        if not alive():
            result = probe()  # it may have come, and been the reason for the end, since the last look
            if result:
                return result
            raise Died
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise Deadline
        time.sleep(min(interval_s, left_s))
