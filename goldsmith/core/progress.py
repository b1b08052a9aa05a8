# SPDX-License-Identifier: Apache-2.0
"""Progress messages on stderr, so that stdout holds only results; timings of steps.

Steps are reported in lines that stay. A terminal shows below them what is under way: rows that
core/display draws, by a thread, while there is something to show. A log gets a line now and then instead.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, TextIO

from goldsmith.core.display import sections
from goldsmith.core.display.activity import Activity
from goldsmith.core.display.amounts import BYTES, PERCENT, Amount, human_bytes
from goldsmith.core.display.screen import Screen

__all__ = [
    "BYTES", "PERCENT", "Meter", "Outside", "end", "expecting", "hidden", "human_bytes", "live", "meter",
    "note", "share", "shares", "step", "timed", "under_way",
]  # fmt: skip

_CI_INTERVAL_S = 15.0  # a log file gets a line about an activity this often
_TICK_S = 0.25  # a terminal is drawn this often; what takes less is not shown there
_SIZE = os.terminal_size((80, 24))  # where the terminal does not tell

# What the current thread does. One with a copy of this context goes on in it, any other one is in no step.
_CURRENT: ContextVar[Activity | None] = ContextVar("goldsmith_activity", default=None)
_EXPECTED: ContextVar[Mapping[str, float]] = ContextVar(
    "goldsmith_expected", default=MappingProxyType(dict[str, float]())
)


class _State:
    """Shared by all threads: what is under way, the rows that show it, and the shares of a build's time."""

    def __init__(self) -> None:
        self.shares: dict[str, float] = {}
        self.lock = threading.RLock()  # re-entrant: a signal's handler may note something
        self.active: list[Activity] = []
        self.nothing = Activity(title="", parent=None, started_s=-math.inf, line_s=-math.inf)
        self.screen = Screen()
        self.ticker: threading.Thread | None = None
        self.draws: Callable[..., list[str]] | None = None  # loaded when something is drawn
        self.covers = 0  # how many others write to the terminal
        self.is_line_open = False  # others have written a part of a line


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Announce a step; when it ends, report how long it took."""
    start, outer = time.monotonic(), _CURRENT.get()
    activity = Activity(
        title=name, parent=outer, started_s=start, line_s=start, is_step=True,
        last_time_s=_EXPECTED.get().get(name),
    )  # fmt: skip
    section = _begin_step(activity)
    _CURRENT.set(activity)
    outcome = "failed after"
    try:
        yield
        outcome = "done in"
    finally:
        _CURRENT.set(outer)
        with _STATE.lock:
            _end(activity)
            if section:
                _put(sections.end(section))
            note(f"{name} {outcome} {time.monotonic() - start:.1f} s")


@contextlib.contextmanager
def timed(name: str, seconds: dict[str, float]) -> Iterator[None]:
    """A step that adds its duration to seconds, under its name, if it succeeds."""
    start = time.monotonic()
    with step(name):
        yield
    seconds[name] = round(time.monotonic() - start, 2)


@contextlib.contextmanager
def under_way(title: str, *, last_time_s: float | None = None) -> Iterator[None]:
    """Show on a terminal what the steps of the block are parts of. It is not reported."""
    outer = _CURRENT.get()
    activity = Activity(title=title, parent=outer, started_s=time.monotonic(), last_time_s=last_time_s)
    _begin(activity)
    _CURRENT.set(activity)
    try:
        yield
    finally:
        _CURRENT.set(outer)
        _end(activity)


@contextlib.contextmanager
def expecting(seconds: Mapping[str, float]) -> Iterator[None]:
    """Steps within the block show how long they took the last time, by their names."""
    outer = _EXPECTED.get()
    _EXPECTED.set(seconds)
    try:
        yield
    finally:
        _EXPECTED.set(outer)


class Meter:
    """Shows how far a part of a step is."""

    def __init__(self, activity: Activity, amount: Amount) -> None:
        self._activity, self._amount = activity, amount

    def at(self, done: float, what: str = "", *, total: float | None = None) -> None:
        """So much is done. what: the part that is at work; total: as it is known now."""
        now_s = time.monotonic()
        with _STATE.lock:
            self._amount.total = self._amount.total if total is None else total
            self._amount.at(done, now_s)
            self._activity.status = what
            if not _is_live():
                far = self._amount.text(now_s, ", ")
                _line_now_and_then(self._activity, ": ".join(filter(None, (self._activity.name, far, what))))

    def add(self, more: float) -> None:
        """So much more is done."""
        self.at(self._amount.done + more)


@contextlib.contextmanager
def meter(
    title: str = "", *, total: float | None = None, unit: str = BYTES, done: float = 0
) -> Iterator[Meter]:
    """Show how far the block is: BYTES and PERCENT with rate and time left, others as 'hook 20 of 37'.

    title: what is measured, where that is not the current step itself. done: what an earlier attempt did.
    """
    now_s = time.monotonic()
    amount = Amount(unit=unit, total=total, started_s=now_s, done=done)
    activity = Activity(title=title, parent=_CURRENT.get(), started_s=now_s, line_s=now_s, amount=amount)
    _begin(activity)
    try:
        yield Meter(activity, amount)
    finally:
        _end(activity)


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
        current = _CURRENT.get()
        _announce(current)
        (current or _STATE.nothing).status = ""
        _put(f"{'  ' * (current.depth if current else 0)}{text}\n")


def live(text: str) -> None:
    """Show a status: on a terminal the next one replaces it, elsewhere it is a line every 15 seconds."""
    text = " ".join(text.split())
    with _STATE.lock:
        current = _CURRENT.get() or _STATE.nothing
        if _is_live():
            current.status = text
            _tick()
        else:
            _line_now_and_then(current, text)


def end() -> None:
    """Take what is still shown from the terminal: the task ends, and others write there."""
    with _STATE.lock:
        _STATE.active.clear()
        _STATE.nothing.status = ""
        _put("")


@contextlib.contextmanager
def hidden() -> Iterator[None]:
    """Leave the terminal to the block: it asks something, or runs a program there."""
    with _STATE.lock:
        _announce(_CURRENT.get())
        _STATE.covers += 1
        _put("")
    try:
        yield
    finally:
        with _STATE.lock:
            _STATE.covers -= 1


class Outside:
    """A stream of the terminal for everybody else: what they write goes above the rows and stays."""

    def __init__(self, behind: TextIO) -> None:
        self.behind = behind

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a stream has
        return getattr(self.behind, name)

    def write(self, text: str) -> int:
        """Write text, which may be a part of a line."""
        if not text or not self.behind.isatty():
            return self.behind.write(text)
        with _STATE.lock:
            _STATE.is_line_open = True
            _put("")
            _STATE.is_line_open = not text.endswith("\n")
            return self.behind.write(text)


def _begin_step(activity: Activity) -> str:
    """Begin a step; the name of its section, empty without one.

    GitHub's log allows one open group at a time: the main thread's.
    """
    with _STATE.lock:
        if not _is_live():
            _announce(activity)
        is_outer = activity.depth == 1 and threading.current_thread() is threading.main_thread()
        section = sections.name_of(activity.title) if is_outer and sections.are_wanted() else ""
        if section:
            _put(sections.begin(section, activity.title))
        _begin(activity)
        return section


def _begin(activity: Activity) -> None:
    with _STATE.lock:
        (activity.parent or _STATE.nothing).status = ""
        _STATE.active.append(activity)
        if _is_live():
            _tick()


def _end(activity: Activity) -> None:
    """With all its parts, of which a thread may have left some."""
    with _STATE.lock:
        (activity.parent or _STATE.nothing).status = ""
        _STATE.active[:] = [each for each in _STATE.active if activity not in each.outwards()]


def _announce(current: Activity | None) -> None:
    """Report the beginning of the steps that we are in."""
    steps = [each for each in (current.outwards() if current else ()) if each.is_step]
    for each in reversed(steps):
        if not each.is_announced:
            each.is_announced = True
            _put(f"{'  ' * (each.depth - 1)}{each.title} ...\n")


def _line_now_and_then(activity: Activity, text: str) -> None:
    if time.monotonic() - activity.line_s >= _CI_INTERVAL_S:
        activity.line_s = time.monotonic()
        note(text)


def _stream() -> TextIO:
    stream = sys.stderr
    return stream.behind if isinstance(stream, Outside) else stream


def _is_live() -> bool:
    """Rows are for people: not for a log, nor for a terminal without colours or cursor."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") in ("dumb", "unknown", ""):
        return False
    return not sections.are_wanted() and _stream().isatty()


def _put(above: str) -> None:
    """Write whole lines that stay; on a terminal, above the rows as they are now."""
    stream = _stream()
    if _is_live():
        size = _size(stream)
        rows = _rows(stream, size)
        _STATE.screen.show(stream, rows, columns=size.columns, above=above)
    elif above:
        stream.write(above)
        stream.flush()
    _STATE.is_line_open = _STATE.is_line_open and not above


def _rows(stream: TextIO, size: os.terminal_size) -> list[str]:
    if not _is_in_foreground(stream):  # the shell writes there
        _STATE.screen.forget()
        return []
    if _STATE.draws is None or _STATE.covers or _STATE.is_line_open:
        return []
    # a column and a row less: the cursor is below
    return _STATE.draws(
        _STATE.active, _STATE.nothing.status, now_s=time.monotonic(), columns=size.columns - 1,
        lines=size.lines - 1, encoding=stream.encoding or "ascii",
    )  # fmt: skip


def _size(stream: TextIO) -> os.terminal_size:
    try:
        found = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return _SIZE
    return found if found.columns > 1 and found.lines > 1 else _SIZE


def _is_in_foreground(stream: TextIO) -> bool:
    try:
        return os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    except (OSError, ValueError):  # it is not our controlling terminal
        return True


def _tick() -> None:
    """Have the rows drawn until nothing is left to show."""
    if _STATE.ticker is None:
        _STATE.ticker = threading.Thread(target=_draw, args=(_STATE,), daemon=True, name="progress")
        _STATE.ticker.start()


@atexit.register
def _leave() -> None:
    """Draw no more: what stands below the rows may not be ours."""
    with _STATE.lock:
        _STATE.covers += 1
        _STATE.screen.forget()


def _draw(state: _State) -> None:
    from goldsmith.core.display import rows  # before it is needed: it takes a while

    while state is _STATE:
        time.sleep(_TICK_S)
        with state.lock:
            state.draws = rows.rows
            try:
                _put("")
            except (OSError, ValueError):  # the terminal has gone
                return
            if not state.active and not state.nothing.status:
                state.ticker = None
                return


_STATE = _State()
