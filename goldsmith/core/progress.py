# SPDX-License-Identifier: Apache-2.0
"""Progress messages on stderr, so that stdout holds only results; timings of steps."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar

_CI_INTERVAL_S = 15.0  # a log file gets a status line this often, a terminal each change


# Steps nest by thread. A thread with a copy of this context starts at the same depth, any other one at 0.
_DEPTH: ContextVar[int] = ContextVar("goldsmith_depth", default=0)


class _State:
    """Shared by all threads: the status line of the terminal, and the shares of a build's time."""

    live_width = 0
    last_live = 0.0

    def __init__(self) -> None:
        self.shares: dict[str, float] = {}
        self.lock = threading.RLock()  # re-entrant: a signal's handler may note something


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Announce a step; when it ends, report how long it took."""
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
    """A step that adds its duration to seconds, under its name, if it succeeds."""
    start = time.monotonic()
    with step(name):
        yield
    seconds[name] = round(time.monotonic() - start, 2)


@contextlib.contextmanager
def share(name: str) -> Iterator[None]:
    """Add the duration of the block to a share: a part of several steps, such as provenance."""
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
    """Print a line that stays."""
    with _STATE.lock:
        _erase()
        _write(f"{'  ' * _DEPTH.get()}{text}\n")


def live(text: str) -> None:
    """Show a status: on a terminal the next one overwrites it, elsewhere it is a line every 15 seconds."""
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
    """GitHub's log allows one open group at a time: the main thread's."""
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
