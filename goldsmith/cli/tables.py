# SPDX-License-Identifier: Apache-2.0
"""Text in columns that fits the terminal."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence

WIDEST = 100
_NARROWEST = 40
_GAP = 2


def width() -> int:
    """Characters of a line: those of the terminal, at most 100; 100 where the output is no terminal."""
    return max(_NARROWEST, min(shutil.get_terminal_size((WIDEST, 0)).columns, WIDEST))


def pairs(
    rows: Collection[tuple[str, str]], width: int, *, indent: int = 2, start: int | None = None
) -> Iterator[str]:
    """Lines of a list of names with their explanations, which are wrapped beside the names.

    A name that takes more than two fifths of the width has its explanation below it. start: of explanations,
    where it is not that of start_of_text().
    """
    start = start_of_text([name for name, _ in rows], width, indent=indent) if start is None else start
    column = start - indent
    for name, text in rows:
        wrapped = textwrap.wrap(text, width - start, break_long_words=False, break_on_hyphens=False)
        beside = wrapped[:1] if len(name) <= column - _GAP else []
        yield f"{'':{indent}}{name:<{column}}{''.join(beside)}".rstrip()
        yield from (f"{'':{start}}{line}" for line in wrapped[len(beside) :])


def start_of_text(names: Iterable[str], width: int, *, indent: int = 2) -> int:
    """Where pairs() begins the explanations of these names."""
    return indent + max((len(name) for name in names if len(name) <= width * 2 // 5), default=0) + _GAP


def paragraph(text: str, width: int, *, indent: int = 0) -> str:
    """A text in lines of this width. indent: of all lines but the first."""
    further = " " * indent
    return textwrap.fill(
        text, width, subsequent_indent=further, break_long_words=False, break_on_hyphens=False
    )


def command(text: str, width: int) -> list[str]:
    """The lines of a command, indented, to be copied as they are."""
    lines = textwrap.wrap(text, width - 4, break_long_words=False, break_on_hyphens=False)
    return ("  " + " \\\n    ".join(lines)).splitlines()


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int | None,
    wide: Collection[str] = (),
    spare: Sequence[str] = (),
) -> list[str]:
    """Lines of a table. width: None for all columns, however wide that is.

    wide: columns that are only shown then. spare: columns that go, one after the other, while the table is
    wider than width. The last column is wrapped after its commas first.
    """
    return [line for block in blocks(head, rows, width=width, wide=wide, spare=spare) for line in block]


def blocks(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int | None,
    wide: Collection[str] = (),
    spare: Sequence[str] = (),
) -> list[list[str]]:
    """The lines of a table's head and of each row; see table()."""
    if width is None:
        return _blocks(head, rows, head, sys.maxsize)
    shown = [name for name in head if name not in wide]
    for column in ("", *spare):
        shown = [name for name in shown if name != column]
        made = _blocks(head, rows, shown, width)
        if max(len(line) for block in made for line in block) <= width:
            break
    return made


def _blocks(
    head: Sequence[str], rows: Sequence[Sequence[str]], shown: Collection[str], width: int
) -> list[list[str]]:
    kept = [index for index, name in enumerate(head) if name in shown]
    cells = [[row[index] for index in kept] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    start = sum(each + _GAP for each in widths[:-1])
    made = []
    for *first, last in cells:
        before = "".join(cell.ljust(each + _GAP) for cell, each in zip(first, widths, strict=False))
        pieces = _wrapped(last, width - start)
        made.append([f"{before}{pieces[0]}".rstrip(), *(f"{'':{start}}{piece}" for piece in pieces[1:])])
    return made


def _wrapped(cell: str, width: int) -> list[str]:
    """A cell in lines that end after a comma, as far as width allows."""
    lines = [""]
    for piece in re.split(r"(?<=,) ", cell):
        joined = f"{lines[-1]} {piece}".lstrip()
        if lines[-1] and len(joined) > width:
            lines.append(piece)
        else:
            lines[-1] = joined
    return lines
