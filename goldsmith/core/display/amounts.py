# SPDX-License-Identifier: Apache-2.0
"""How far an activity is: bytes, percent or numbered things, with rate and time left."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

BYTES, PERCENT = "B", "%"  # units; any other one names what is counted, such as "hook"
_WINDOW_S = 15.0  # a rate is that of the last seconds
_SAMPLE_S = 0.5
_LEAST_S = 1.0  # a rate over less says nothing
_UNITS = ("B", "KiB", "MiB", "GiB")


@dataclass(slots=True)
class Amount:
    """done of total in a unit; total: None where it is not known. started_s: by time.monotonic()."""

    unit: str
    total: float | None
    started_s: float
    done: float = 0
    _samples: deque[tuple[float, float]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._samples.append((self.started_s, self.done))

    def at(self, done: float, now_s: float) -> None:
        """So much is done at this time; less than before: it began again."""
        if done < self.done:
            self._samples.clear()
        self.done = done
        if len(self._samples) > 1 and now_s - self._samples[-2][0] < _SAMPLE_S:
            self._samples.pop()
        self._samples.append((now_s, done))
        while len(self._samples) > 2 and self._samples[1][0] < now_s - _WINDOW_S:
            self._samples.popleft()

    def rate(self, now_s: float) -> float | None:
        """Units a second of late; None where that is not known yet."""
        since_s, before = self._samples[0]
        if now_s - since_s < _LEAST_S:
            return None
        return (self.done - before) / (now_s - since_s)

    def left_s(self, now_s: float) -> float | None:
        """Seconds until the total; None where that is not known. Counted things take too different times."""
        rate = self.rate(now_s)
        if self.total is None or not rate or self.unit not in (BYTES, PERCENT):
            return None
        return max(self.total - self.done, 0) / rate

    def text(self, now_s: float, between: str = "  ") -> str:
        """'120.0 of 448.0 MiB  40.0 MiB/s  0:08 left', '27 %  0:08 left' or 'hook 20 of 37'."""
        rate, left_s = self.rate(now_s), self.left_s(now_s)
        parts = [self._position()]
        if self.unit == BYTES and rate is not None:
            parts.append(f"{human_bytes(int(rate))}/s")
        if left_s is not None:
            parts.append(f"{clock(left_s)} left")
        return between.join(parts)

    def _position(self) -> str:
        if self.unit == BYTES:
            return _bytes_of(self.done, self.total)
        if self.unit == PERCENT:
            return f"{self.done:.0f} %"
        return f"{self.unit} {self.done:.0f}" + ("" if self.total is None else f" of {self.total:.0f}")


def human_bytes(size: int) -> str:
    """123 -> '123 B', 5000000 -> '4.8 MiB'."""
    unit = _unit_of(size)
    return f"{_in(size, unit)} {unit}"


def clock(seconds: float) -> str:
    """8.2 -> '0:08', 754 -> '12:34', 3661 -> '1:01:01'."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _bytes_of(done: float, total: float | None) -> str:
    if total is None:
        return human_bytes(int(done))
    unit = _unit_of(total)
    return f"{_in(done, unit)} of {_in(total, unit)} {unit}"


def _unit_of(size: float) -> str:
    return next((unit for n, unit in enumerate(_UNITS[:-1]) if size < 1024 ** (n + 1)), _UNITS[-1])


def _in(size: float, unit: str) -> str:
    value = size / 1024 ** _UNITS.index(unit)
    return f"{value:.0f}" if unit == "B" else f"{value:.1f}"
