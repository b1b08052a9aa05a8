# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from goldsmith.core.display.amounts import BYTES, PERCENT, Amount, clock, human_bytes

MIB = 1 << 20


def amount(unit: str, total: float | None, *, done: float, after_s: float) -> Amount:
    made = Amount(unit=unit, total=total, started_s=100)
    made.at(done, 100 + after_s)
    return made


def test_bytes_have_a_rate_and_the_time_left() -> None:
    sent = amount(BYTES, 448 * MIB, done=120 * MIB, after_s=3)

    assert sent.text(103) == "120.0 of 448.0 MiB  40.0 MiB/s  0:08 left"


def test_bytes_of_an_unknown_total_have_a_rate_alone() -> None:
    assert amount(BYTES, None, done=3 * MIB, after_s=2).text(102) == "3.0 MiB  1.5 MiB/s"


def test_percent_have_the_time_left() -> None:
    assert amount(PERCENT, 100, done=25, after_s=5).text(105) == "25 %  0:15 left"


def test_counted_things_have_no_time_left_because_they_take_different_times() -> None:
    assert amount("hook", 37, done=20, after_s=60).text(160) == "hook 20 of 37"
    assert amount("hook", None, done=20, after_s=60).text(160) == "hook 20"


def test_a_rate_is_not_guessed_in_the_first_second() -> None:
    assert amount(BYTES, 448 * MIB, done=MIB, after_s=0.1).text(100.2) == "1.0 of 448.0 MiB"


def test_a_rate_is_that_of_the_last_seconds_and_falls_while_nothing_comes() -> None:
    sent = Amount(unit=BYTES, total=1000 * MIB, started_s=0)
    for second in range(1, 101):
        sent.at(second * MIB, second)
    for second in range(101, 121):
        sent.at(100 * MIB + (second - 100) * 10 * MIB, second)

    assert sent.rate(120) == pytest.approx(10 * MIB, rel=0.1)
    assert (sent.rate(180) or 0) < 3 * MIB


def test_many_small_pieces_need_little_memory() -> None:
    sent = Amount(unit=BYTES, total=None, started_s=0)
    for piece in range(100_000):
        sent.at(piece, piece / 10_000)

    assert len(sent._samples) < 100
    assert sent.rate(10) == pytest.approx(10_000, rel=0.1)


def test_what_begins_again_has_a_new_rate() -> None:
    got = amount(BYTES, 100 * MIB, done=90 * MIB, after_s=10)
    got.at(0, 111)
    got.at(10 * MIB, 113)

    assert got.rate(113) == 5 * MIB


def test_what_an_earlier_attempt_did_is_not_a_part_of_the_rate() -> None:
    resumed = Amount(unit=BYTES, total=100 * MIB, started_s=0, done=80 * MIB)
    resumed.at(90 * MIB, 10)

    assert resumed.text(10) == "90.0 of 100.0 MiB  1.0 MiB/s  0:10 left"


def test_more_than_the_total_leaves_no_time() -> None:
    assert amount(BYTES, 10 * MIB, done=20 * MIB, after_s=2).left_s(102) == 0


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (8.9, "0:08"), (754, "12:34"), (3661, "1:01:01"), (90000, "25:00:00")]
)
def test_times_are_readable(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 B"), (123, "123 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5_000_000, "4.8 MiB"),
     (3 * 1024**3, "3.0 GiB"), (5000 * 1024**3, "5000.0 GiB")],
)  # fmt: skip
def test_sizes_are_readable(size: int, shown: str) -> None:
    assert human_bytes(size) == shown
