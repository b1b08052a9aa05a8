# SPDX-License-Identifier: Apache-2.0
"""Work in a thread beside a block of a test."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context

from goldsmith.errors import GoldsmithError


@contextlib.contextmanager
def beside(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run work(over) in a thread until the block ends, which sets the event; raises the error of the work."""
    over = threading.Event()
    failures: list[GoldsmithError] = []

    def run() -> None:
        try:
            work(over)
        except GoldsmithError as e:
            failures.append(e)

    thread = threading.Thread(target=copy_context().run, args=(run,))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failures:
        raise failures[0]
