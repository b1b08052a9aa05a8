# SPDX-License-Identifier: Apache-2.0
"""Rows below the last line of a terminal, which the next ones replace.

The cursor stays visible, on the empty line below the rows: a killed program leaves a usable terminal.
rich.live hides it, and leaves rests of rows where a terminal becomes narrower.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from goldsmith.core import terminal


class Screen:
    """The rows that are drawn at the moment. One thread at a time uses it."""

    def __init__(self) -> None:
        self._rows: tuple[str, ...] = ()

    def show(self, stream: TextIO, rows: Sequence[str], *, columns: int, above: str = "") -> None:
        """Replace the rows, and write whole lines above them that stay. columns: of the terminal now."""
        new = tuple(rows)
        if above or new != self._rows:
            frame = "".join(f"{row}\n" for row in new)
            stream.write(self._erasure(columns) + above + frame)  # at once: an interrupt may come
            stream.flush()
            self._rows = new

    def forget(self) -> None:
        """Leave the rows where they are: others have written below them."""
        self._rows = ()

    def _erasure(self, columns: int) -> str:
        """Go to the first row and clear from there; a terminal that became narrower has wrapped them."""
        height = sum(-(-max(cells(row), 1) // columns) for row in self._rows)
        return f"\r\x1b[{height}A\x1b[J" if height else ""


def cells(row: str) -> int:
    """How many columns a row takes."""
    from rich.cells import cell_len  # here: most tasks draw nothing

    return cell_len(terminal.plain(row))
