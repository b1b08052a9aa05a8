# SPDX-License-Identifier: Apache-2.0
"""What is under way: activities within activities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from goldsmith.core.display.amounts import Amount


@dataclass(eq=False, kw_only=True, slots=True)
class Activity:
    """A step, or a part of one. Times by time.monotonic().

    title: empty for a part that is shown below its parent. is_step: it is reported in lines that stay.
    is_announced: its first one was written. last_time_s: how long it took the last time.
    """

    title: str
    parent: Activity | None
    started_s: float
    is_step: bool = False
    is_announced: bool = False
    last_time_s: float | None = None
    amount: Amount | None = None
    status: str = ""
    line_s: float = 0.0  # when a log file last got a line of it

    def outwards(self) -> Iterator[Activity]:
        """This one, the one that it is a part of, and so on."""
        each: Activity | None = self
        while each is not None:
            yield each
            each = each.parent

    @property
    def depth(self) -> int:
        """How many steps it is a part of, itself included."""
        return sum(each.is_step for each in self.outwards())

    @property
    def name(self) -> str:
        """Its title, else that of what it is a part of."""
        return next((each.title for each in self.outwards() if each.title), "")


def in_order(active: Sequence[Activity]) -> Iterator[tuple[Activity, int]]:
    """Each activity after the one that it is a part of, and how far in it is shown."""

    def below(parent: Activity | None, level: int) -> Iterator[tuple[Activity, int]]:
        for each in active:
            if _shown_parent(each, active) is parent:
                yield each, level
                yield from below(each, level + 1)

    return below(None, 0)


def _shown_parent(activity: Activity, active: Sequence[Activity]) -> Activity | None:
    return next((each for each in activity.outwards() if each is not activity and each in active), None)
