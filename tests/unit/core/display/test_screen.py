# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io

import pytest

from goldsmith.core.display.screen import Screen
from tests.support.screens import seen


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def test_rows_replace_those_before_them(stream: io.StringIO) -> None:
    screen = Screen()
    screen.show(stream, ["one", "two"], columns=20)
    screen.show(stream, ["three"], columns=20)

    assert seen(stream.getvalue(), 20) == ["three"]


def test_lines_above_the_rows_stay(stream: io.StringIO) -> None:
    screen = Screen()
    screen.show(stream, ["row"], columns=20, above="first\n")
    screen.show(stream, ["row"], columns=20, above="second 890123456789012345\n")
    screen.show(stream, ["other"], columns=20)

    assert seen(stream.getvalue(), 20) == ["first", "second 8901234567890", "12345", "other"]


def test_the_cursor_is_on_an_empty_line_below_the_rows(stream: io.StringIO) -> None:
    Screen().show(stream, ["one", "two"], columns=20)

    assert seen(stream.getvalue() + "$ ", 20) == ["one", "two", "$"]


def test_nothing_is_written_where_nothing_changed(stream: io.StringIO) -> None:
    screen = Screen()
    screen.show(stream, ["one"], columns=20)
    before = stream.getvalue()
    screen.show(stream, ["one"], columns=20)

    assert stream.getvalue() == before


def test_a_terminal_that_became_narrower_has_no_rests_of_rows(stream: io.StringIO) -> None:
    """It wraps what is there; here as if it had been narrow from the beginning."""
    screen = Screen()
    screen.show(stream, ["x" * 30, "\x1b[31my\x1b[0m" * 20], columns=40, above="stays\n")
    screen.show(stream, ["new"], columns=10)

    assert seen(stream.getvalue(), 10) == ["stays", "new"]


def test_rows_that_are_forgotten_stay(stream: io.StringIO) -> None:
    screen = Screen()
    screen.show(stream, ["old"], columns=20)
    screen.forget()
    screen.show(stream, ["new"], columns=20)

    assert seen(stream.getvalue(), 20) == ["old", "new"]
