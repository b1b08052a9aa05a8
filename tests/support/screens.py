# SPDX-License-Identifier: Apache-2.0
"""A terminal to look at: a pseudo terminal, and what somebody would see on it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator

_TOKENS = re.compile(r"\x1b\[[0-9;]*m|\x1b\[(\d*)A|\x1b\[J|[\r\n]|[^\x00-\x1f]")


def seen(output: str, columns: int) -> list[str]:
    """The lines of a terminal after this output, without empty ones at the end.

    Knows colours, cursor up and erase below; fails at all else, such as what hides the cursor.
    """
    rows: list[list[str]] = [[]]
    x = y = 0
    place = 0
    while place < len(output):
        match = _TOKENS.match(output, place)
        assert match, f"a terminal need not know {output[place : place + 12]!r}"
        token, place = match[0], match.end()
        if token == "\r":
            x = 0
        elif token == "\n":
            x, y = 0, y + 1
        elif token.endswith("A") and token.startswith("\x1b"):
            y = max(0, y - int(match[1] or 1))
        elif token == "\x1b[J":
            rows[y:] = [rows[y][:x]]
        elif not token.startswith("\x1b"):
            if x == columns:
                x, y = 0, y + 1
            rows += [[] for _ in range(y + 1 - len(rows))]
            rows[y] += [" "] * (x + 1 - len(rows[y]))
            rows[y][x] = token
            x += 1
        rows += [[] for _ in range(y + 1 - len(rows))]
    lines = ["".join(row).rstrip() for row in rows]
    while lines and not lines[-1]:
        lines.pop()
    return lines


class PseudoTerminal:
    """stream: for what writes to it. output: everything that was written so far."""

    def __init__(self, columns: int, lines: int = 24) -> None:
        self._master, self._device = os.openpty()
        self.stream = open(self._device, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        settings = termios.tcgetattr(self._device)
        settings[1] &= ~termios.OPOST  # no \r before \n: seen() needs none
        termios.tcsetattr(self._device, termios.TCSANOW, settings)
        self.resize(columns, lines)
        self.output = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def resize(self, columns: int, lines: int = 24) -> None:
        self.columns = columns
        fcntl.ioctl(self._device, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    @property
    def lines(self) -> list[str]:
        """What is on the screen."""
        return seen(self.output, self.columns)

    def wait_for(self, condition: Callable[[list[str]], bool]) -> list[str]:
        """The screen as soon as it shows something that meets the condition. Raises AssertionError."""
        deadline = time.monotonic() + 60
        while not ((lines := self.lines) and condition(lines)):
            assert time.monotonic() < deadline, "\n".join(lines)
            time.sleep(0.01)
        return lines

    def settled(self) -> list[str]:
        """The screen when nobody writes to it any more."""
        before = None
        while before != (before := self.output):
            time.sleep(0.2)
        return self.lines

    def close(self) -> None:
        os.close(self._device)
        self._reader.join(10)
        os.close(self._master)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the last device was closed
            while data := os.read(self._master, 1 << 16):
                self.output += data.decode()


@contextlib.contextmanager
def terminal(columns: int, lines: int = 24) -> Iterator[PseudoTerminal]:
    """A pseudo terminal while the block lasts."""
    made = PseudoTerminal(columns, lines)
    try:
        with made.stream:
            yield made
    finally:
        made.close()
