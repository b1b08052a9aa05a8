# SPDX-License-Identifier: Apache-2.0
"""What is said while work goes on: to stderr, so that stdout holds results alone."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar

_CI_INTERVAL_S = 15.0  # a log file gets a status line this often, a terminal each change


# Steps lie within steps of their own thread. One with a copy of this context begins as deep, any other at 0.
_DEPTH: ContextVar[int] = ContextVar("goldsmith_depth", default=0)


class _State:
    """What all threads share: the terminal's one line, and the shares of a build's time."""

    live_width = 0
    last_live = 0.0

    def __init__(self) -> None:
        self.shares: dict[str, float] = {}
        self.lock = threading.RLock()  # re-entrant: a signal's handler may note something


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Announce a piece of work, and how long it took when it ends."""
    note(f"{name} ...")
    depth = _DEPTH.get()
    folded = depth == 0 and _may_fold()
    if folded:
        _write(f"::group::{name}\n")
    _DEPTH.set(depth + 1)
    start = time.monotonic()
    outcome = "failed after"
    try:
        yield
        outcome = "done in"
    finally:
        _DEPTH.set(depth)
        if folded:
            _write("::endgroup::\n")
        note(f"{name} {outcome} {time.monotonic() - start:.1f} s")


@contextlib.contextmanager
def timed(name: str, seconds: dict[str, float]) -> Iterator[None]:
    """A step whose seconds are noted under its name when it ends well."""
    start = time.monotonic()
    with step(name):
        yield
    seconds[name] = round(time.monotonic() - start, 2)


@contextlib.contextmanager
def share(name: str) -> Iterator[None]:
    """Count the seconds of the block to a concern that runs through several steps, such as provenance."""
    start = time.monotonic()
    try:
        yield
    finally:
        with _STATE.lock:
            _STATE.shares[name] = _STATE.shares.get(name, 0.0) + time.monotonic() - start


def shares() -> dict[str, float]:
    """Seconds of each share since the last call."""
    with _STATE.lock:
        taken, _STATE.shares = _STATE.shares, {}
    return {name: round(seconds, 2) for name, seconds in sorted(taken.items())}


def note(text: str) -> None:
    """One line that stays."""
    with _STATE.lock:
        _erase()
        _write(f"{'  ' * _DEPTH.get()}{text}\n")


def live(text: str) -> None:
    """A status that the next one overwrites on a terminal; elsewhere a line now and then."""
    text = " ".join(text.split())
    with _STATE.lock:
        if sys.stderr.isatty():
            _erase()
            shown = f"{'  ' * _DEPTH.get()}{text}"[: _columns() - 1]
            _STATE.live_width = len(shown)
            _write(shown)
        elif time.monotonic() - _STATE.last_live >= _CI_INTERVAL_S:
            _STATE.last_live = time.monotonic()
            note(text)


def human_bytes(size: int) -> str:
    """123 -> '123 B', 5000000 -> '4.8 MiB'."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError


def _may_fold() -> bool:
    """GitHub's log has one group open at a time: that of the main thread."""
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and os.environ.get("GITHUB_ACTIONS") == "true"


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:
        return 80


def _erase() -> None:
    if _STATE.live_width:
        _write("\r" + " " * _STATE.live_width + "\r")
        _STATE.live_width = 0


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


_STATE = _State()
