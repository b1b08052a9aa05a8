# SPDX-License-Identifier: Apache-2.0
"""The line that pytest prints when a test starts, which tells how far the suites are."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE = re.compile(r"test (\d+) of (\d+): (\S.*)")


@dataclass(frozen=True, slots=True)
class StartedTest:
    """A test that started: its number of how many, and its ID without folders."""

    number: int
    total: int
    test: str


def line(number: int, total: int, node_id: str) -> str:
    """The line for a test."""
    return f"test {number} of {total}: {node_id}"


def parse(text: str) -> StartedTest | None:
    """The test that such a line names; None for any other line."""
    match = _LINE.fullmatch(text)
    if match is None:
        return None
    file, separator, name = match[3].partition("::")
    test = f"{file.rpartition('/')[2]}{separator}{name}"
    return StartedTest(number=int(match[1]), total=int(match[2]), test=test)
