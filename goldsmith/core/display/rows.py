# SPDX-License-Identifier: Apache-2.0
"""Draw activities as rows of text for a terminal of a given width."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console, OverflowMethod
from rich.progress_bar import ProgressBar
from rich.text import Text

from goldsmith.core import terminal
from goldsmith.core.display.activity import Activity, in_order
from goldsmith.core.display.amounts import Amount, clock

_BAR_LEAST, _BAR_MOST = 8, 30
_TITLE_LEAST = 24  # columns that a title keeps; else how long it took last time is left out
_STATUS_LEAST = 30  # columns that a bar leaves to the text after an amount
_INDENT = "  "


def rows(
    active: Sequence[Activity], status: str, *, now_s: float, columns: int, lines: int, encoding: str
) -> list[str]:
    """The rows of what is under way, with escape sequences: no wider than columns, no more than lines.

    status: text of no activity. encoding: of the terminal.
    """
    canvas = _Canvas(columns, encoding)
    found = [
        row for activity, level in in_order(active) for row in _of(canvas, activity, _INDENT * level, now_s)
    ]
    if status:
        found.append(canvas.row(Text(canvas.plain(status))))
    if len(found) > lines:
        kept = max(lines - 1, 0)
        found[kept:] = [canvas.row(Text(f"and {len(found) - kept} more rows"))]
    return [canvas.drawn(row) for row in found]


def _of(canvas: _Canvas, activity: Activity, indent: str, now_s: float) -> list[Text]:
    found = []
    if activity.title:
        title = Text(indent + canvas.plain(activity.title))
        found.append(canvas.row(title, canvas.times(activity, now_s, len(indent))))
        indent += _INDENT
    status = canvas.plain(activity.status)
    if activity.amount is not None and (activity.amount.done or activity.amount.total):
        found.append(canvas.row(canvas.amount(activity.amount, status, indent, now_s)))
    elif status:
        found.append(canvas.row(Text(indent).append(status, style="dim")))
    return found


class _Canvas:
    """Rows of a terminal with so many columns."""

    def __init__(self, columns: int, encoding: str) -> None:
        self._columns, self._encoding = columns, encoding
        self._overflow: OverflowMethod = "ellipsis" if encoding.lower().startswith("utf") else "crop"
        self._console = Console(
            file=_Nowhere(encoding), width=columns, force_terminal=True, force_interactive=False,
            legacy_windows=False, highlight=False, markup=False, emoji=False,
        )  # fmt: skip

    def plain(self, text: str) -> str:
        """text as one line of characters that the terminal has."""
        line = " ".join(terminal.plain(text).split())
        return line.encode(self._encoding, "replace").decode(self._encoding)

    def row(self, left: Text, right: Text | None = None) -> Text:
        """A row: what is on the right is whole, what is on the left ends where there is no room."""
        room = self._columns - (right.cell_len + 2 if right else 0)
        left.truncate(max(room, 0), overflow=self._overflow, pad=right is not None)
        return left.append("  ").append_text(right) if right else left

    def times(self, activity: Activity, now_s: float, indent: int) -> Text:
        """How long an activity takes so far, and how long it took the last time if there is room."""
        took = clock(now_s - activity.started_s)
        if activity.last_time_s is not None:
            both = f"{took} (last time {clock(activity.last_time_s)})"
            if self._columns - indent - len(both) >= _TITLE_LEAST:
                took = both
        return Text(took, style="cyan")

    def amount(self, amount: Amount, status: str, indent: str, now_s: float) -> Text:
        """A bar if there is room, how far it is, and what is at work."""
        text = amount.text(now_s)
        room = self._columns - len(indent) - len(text) - 2 - (_STATUS_LEAST if status else 0)
        row = Text(indent)
        if amount.total is not None and room >= _BAR_LEAST:
            bar = ProgressBar(amount.total, amount.done, width=min(room, _BAR_MOST), complete_style="cyan")
            row.append_text(Text.assemble(*((s.text, s.style or "") for s in self._console.render(bar))))
            row.append("  ")
        row.append(text)
        return row.append(f"  {status}", style="dim") if status else row

    def drawn(self, row: Text) -> str:
        """A row as the terminal gets it."""
        with self._console.capture() as captured:
            self._console.print(row, end="", no_wrap=True, overflow="crop")
        return captured.get()


class _Nowhere(io.StringIO):
    """What the console writes to; the encoding tells it which characters the terminal has."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """As a stream of the terminal has it."""
        return self._encoding
