# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from goldsmith.cli import tables

HEAD = ("id", "verdict", "size", "wide")
ROWS = [("a" * 10, "passed", "1 MiB", "x" * 50), ("b", "failed", "", "y")]


@pytest.mark.parametrize(
    ("columns", "width"), [("60", 60), ("72", 72), ("250", 100), ("5", 40), ("", 100), ("0", 100), ("x", 100)]
)
def test_lines_are_as_wide_as_the_terminal_up_to_100(
    monkeypatch: pytest.MonkeyPatch, columns: str, width: int
) -> None:
    monkeypatch.setattr("os.get_terminal_size", lambda _descriptor: (_ for _ in ()).throw(OSError))
    monkeypatch.setenv("COLUMNS", columns)

    assert tables.width() == width


def test_a_table_leaves_out_columns_until_it_fits() -> None:
    def head(width: int | None) -> list[str]:
        return tables.table(HEAD, ROWS, width=width, wide=["wide"], spare=["size", "verdict"])[0].split()

    assert head(None) == list(HEAD)
    assert head(100) == head(26) == ["id", "verdict", "size"]
    assert head(25) == ["id", "verdict"]
    assert head(18) == ["id"]
    assert head(1) == ["id"]


def test_cells_stand_below_each_other() -> None:
    assert tables.table(HEAD[:3], [row[:3] for row in ROWS], width=100) == [
        "id          verdict  size",
        "aaaaaaaaaa  passed   1 MiB",
        "b           failed",
    ]


def test_the_last_column_is_wrapped_after_commas_before_others_go() -> None:
    rows = [("a", "some text", "lab 1, production 22, edge 333"), ("b", "", "-")]

    def lines(width: int) -> list[str]:
        return tables.table(("id", "text", "where"), rows, width=width, spare=["text"])

    assert lines(45) == [
        "id  text       where",
        "a   some text  lab 1, production 22, edge 333",
        "b              -",
    ]
    assert lines(44)[1:3] == ["a   some text  lab 1, production 22,", "               edge 333"]
    assert lines(29)[1:4] == [
        "a   some text  lab 1,",
        "               production 22,",
        "               edge 333",
    ]
    assert lines(28)[:3] == ["id  where", "a   lab 1, production 22,", "    edge 333"]


def test_explanations_are_wrapped_beside_the_names_and_below_long_ones() -> None:
    rows = [("--a", "one two three four five six"), ("--a-very-long-one", "text"), ("-b", "")]

    assert list(tables.pairs(rows, 30)) == [
        "  --a  one two three four five",
        "       six",
        "  --a-very-long-one",
        "       text",
        "  -b",
    ]


def test_a_long_command_can_be_copied() -> None:
    assert tables.command("goldsmith plan mine", 60) == ["  goldsmith plan mine"]
    assert tables.command("goldsmith plan mine --var a=b", 24) == [
        "  goldsmith plan mine \\",
        "    --var a=b",
    ]
