# SPDX-License-Identifier: Apache-2.0
"""What is said while work goes on: to stderr, so that stdout holds results alone."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator

_CI_INTERVAL_S = 15.0  # a log file gets a status line this often, a terminal each change


class _State:
    live_width = 0
    last_live = 0.0
    depth = 0

    def __init__(self) -> None:
        self.shares: dict[str, float] = {}


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Announce a piece of work, and how long it took when it ends."""
    note(f"{name} ...")
    folded = _STATE.depth == 0 and os.environ.get("GITHUB_ACTIONS") == "true"
    if folded:
        _write(f"::group::{name}\n")
    _STATE.depth += 1
    start = time.monotonic()
    outcome = "failed after"
    try:
        yield
        outcome = "done in"
    finally:
        _STATE.depth -= 1
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
        _STATE.shares[name] = _STATE.shares.get(name, 0.0) + time.monotonic() - start


def shares() -> dict[str, float]:
    """Seconds of each share since the last call."""
    taken, _STATE.shares = _STATE.shares, {}
    return {name: round(seconds, 2) for name, seconds in sorted(taken.items())}


def note(text: str) -> None:
    """One line that stays."""
    _erase()
    _write(f"{'  ' * _STATE.depth}{text}\n")


def live(text: str) -> None:
    """A status that the next one overwrites on a terminal; elsewhere a line now and then."""
    text = " ".join(text.split())
    if sys.stderr.isatty():
        _erase()
        shown = f"{'  ' * _STATE.depth}{text}"[: _columns() - 1]
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
