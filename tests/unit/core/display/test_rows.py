# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from goldsmith.core import terminal
from goldsmith.core.display.activity import Activity
from goldsmith.core.display.amounts import BYTES, Amount
from goldsmith.core.display.rows import rows
from goldsmith.core.display.screen import cells

NOW_S = 1000.0
MIB = 1 << 20


@pytest.fixture(autouse=True)
def _colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)


def activity(title: str, parent: Activity | None = None, *, seconds: float = 0, **more: object) -> Activity:
    return Activity(title=title, parent=parent, started_s=NOW_S - seconds, **more)  # type: ignore[arg-type]


def upload(name: str) -> list[Activity]:
    step = activity(name, seconds=12)
    amount = Amount(unit=BYTES, total=448 * MIB, started_s=NOW_S - 12)
    amount.at(120 * MIB, NOW_S)
    return [step, activity("", step, amount=amount)]


def hooks(count: int, total: int | None, status: str) -> list[Activity]:
    step = activity("image", seconds=72, last_time_s=193)
    amount = Amount(unit="hook", total=total, started_s=NOW_S - 72)
    amount.at(count, NOW_S)
    return [step, activity("", step, amount=amount, status=status)]


def drawn(
    active: list[Activity], status: str = "", *, columns: int = 59, lines: int = 23, encoding: str = "utf-8"
) -> list[str]:
    return rows(active, status, now_s=NOW_S, columns=columns, lines=lines, encoding=encoding)


def plain(active: list[Activity], status: str = "", *, columns: int = 59, lines: int = 23) -> list[str]:
    return [terminal.plain(row).rstrip() for row in drawn(active, status, columns=columns, lines=lines)]


def test_an_upload_has_bar_amount_rate_and_time_left_in_60_columns() -> None:
    assert plain(upload("prod: upload debian-kubelet-amd64.qcow2")) == [
        "prod: upload debian-kubelet-amd64.qcow2                0:12",
        "  ━━━╸━━━━━━━━━━  120.0 of 448.0 MiB  10.0 MiB/s  0:32 left",
    ]


def test_a_wide_terminal_has_a_longer_bar() -> None:
    assert plain(upload("prod: upload"), columns=99)[1] == (
        "  ━━━━━━━━╺━━━━━━━━━━━━━━━━━━━━━  120.0 of 448.0 MiB  10.0 MiB/s  0:32 left"
    )


def test_a_narrow_terminal_has_the_figures_without_a_bar() -> None:
    assert plain(upload("prod: upload"), columns=46)[1] == "  120.0 of 448.0 MiB  10.0 MiB/s  0:32 left"


def test_nothing_is_said_of_an_amount_before_anything_is_known() -> None:
    assert plain(hooks(0, None, "")) == ["image                                 1:12 (last time 3:13)"]
    assert plain(hooks(0, 37, ""))[1].endswith("hook 0 of 37")


def test_steps_are_below_those_that_they_are_parts_of() -> None:
    outer = activity("debian-kubelet", seconds=130, last_time_s=1657)
    step, part = hooks(20, 37, "install.d/50-kubelet")
    step.parent = outer

    assert plain([outer, step, part]) == [
        "debian-kubelet                       2:10 (last time 27:37)",
        "  image                               1:12 (last time 3:13)",
        "    ━━━━━╺━━━━  hook 20 of 37  install.d/50-kubelet",
    ]


def test_the_parts_of_each_thread_stay_together() -> None:
    left, right = upload("left: upload"), upload("right: upload")
    mixed = [left[0], right[0], right[1], left[1]]

    shown = plain(mixed)

    assert [row.split()[0] for row in shown[::2]] == ["left:", "right:"]
    assert all("of 448.0 MiB" in row for row in shown[1::2])


def test_a_part_whose_step_has_ended_is_still_shown() -> None:
    outer = activity("outer", seconds=1)
    ended = activity("ended", outer, seconds=1)
    part = activity("goes on", ended, seconds=1)

    assert [row.split("  ")[:2] for row in plain([outer, part])] == [["outer", ""], ["", "goes on"]]


def test_the_last_time_gives_way_to_a_long_title() -> None:
    (row,) = plain([activity("x" * 200, seconds=5, last_time_s=70)], columns=40)

    assert row == "x" * 33 + "…" + "  0:05"


def test_a_status_is_one_line_of_plain_text() -> None:
    assert plain([], "console: \x1b[31mone\n\ttwo\x07  three") == ["console: one two three"]


def test_rows_that_do_not_fit_are_counted() -> None:
    many = [activity(f"step {number}", seconds=1) for number in range(10)]

    shown = plain(many, lines=4)

    assert shown[:3] == [f"step {number}{' ' * 49}0:01" for number in range(3)]
    assert shown[3:] == ["and 7 more rows"]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
@pytest.mark.parametrize("columns", [1, 9, 39, 59, 99, 250])
@pytest.mark.parametrize(
    "name", ["image", "é" * 80, "画像を作る" * 30, "a\x1b[31m\tb\r\nc", "", "👩‍💻 e\u0301" * 20]
)
def test_no_row_is_wider_than_the_terminal_or_more_than_it_can_show(
    columns: int, encoding: str, name: str
) -> None:
    active = [*upload(name), *hooks(3, None, name), *hooks(3, 0, name), *hooks(50, 37, "")]

    shown = drawn(active, name, columns=columns, encoding=encoding)

    assert shown
    assert max(map(cells, shown)) <= columns
    assert not [row for row in shown if "\n" in row or "\r" in row or "?25" in row]
    assert all(row.encode(encoding) for row in shown if row)


def test_colours_end_with_each_row() -> None:
    """A program that is killed leaves the terminal in its own colours."""
    assert "\x1b[" in "".join(drawn(upload("x")))
    assert all(row.rfind("\x1b[0m") >= row.rfind("\x1b[") for row in drawn(upload("x")))
