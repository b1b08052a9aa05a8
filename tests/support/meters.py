# SPDX-License-Identifier: Apache-2.0
"""Meters of core/progress.py that remember what they were told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from goldsmith.core.progress import BYTES


@dataclass(kw_only=True, slots=True)
class FakeMeter:
    """As progress.Meter. begun: what was done before; seen: each amount, with what was at work."""

    title: str = ""
    unit: str = BYTES
    total: float | None = None
    done: float = 0
    begun: float = 0
    seen: list[tuple[float, str]] = field(default_factory=list)

    def at(self, done: float, what: str = "", *, total: float | None = None) -> None:
        self.done, self.total = done, self.total if total is None else total
        self.seen.append((done, what))

    def add(self, more: float) -> None:
        self.at(self.done + more)


class Meters(list[FakeMeter]):
    """All meters so far."""

    @contextlib.contextmanager
    def meter(
        self, title: str = "", *, total: float | None = None, unit: str = BYTES, done: float = 0
    ) -> Iterator[FakeMeter]:
        """In the place of progress.meter()."""
        self.append(FakeMeter(title=title, unit=unit, total=total, done=done, begun=done))
        yield self[-1]
