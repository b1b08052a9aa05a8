# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import time
from itertools import count

import pytest

from goldsmith.core.wait import Deadline, Died, wait_until


def test_the_first_true_result_is_returned() -> None:
    answers = iter([None, "", 0, "here", "later"])

    assert wait_until(lambda: next(answers), timeout_s=5, interval_s=0) == "here"


def test_a_condition_that_is_true_already_needs_no_time() -> None:
    assert wait_until(lambda: "here", timeout_s=0, interval_s=60) == "here"


def test_a_deadline_is_kept_even_when_the_interval_is_longer() -> None:
    start = time.monotonic()

    with pytest.raises(Deadline):
        wait_until(lambda: None, timeout_s=0.05, interval_s=30)

    assert 0.05 <= time.monotonic() - start < 5


def test_the_probe_is_called_once_more_at_the_deadline() -> None:
    start = time.monotonic()

    found = wait_until(lambda: time.monotonic() - start >= 0.05, timeout_s=0.05, interval_s=30)

    assert found is True


def test_death_is_noticed_long_before_the_deadline() -> None:
    asked = count()

    with pytest.raises(Died):
        wait_until(lambda: None, timeout_s=60, alive=lambda: next(asked) < 3, interval_s=0)

    assert next(asked) == 4


def test_a_result_between_the_probe_and_death_still_counts() -> None:
    answers = iter([None, "here"])

    assert wait_until(lambda: next(answers), timeout_s=60, alive=lambda: False) == "here"


def test_a_result_just_before_death_still_counts() -> None:
    assert wait_until(lambda: "here", timeout_s=60, alive=lambda: False) == "here"
