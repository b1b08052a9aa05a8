# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
import time
from contextvars import ContextVar
from itertools import count

import pytest

from goldsmith.core.wait import Deadline, Died, meanwhile, wait_until

_PLACE = ContextVar("place", default="")


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


def test_something_is_done_again_and_again_while_one_waits() -> None:
    called = []
    _PLACE.set("ours")
    with meanwhile(lambda: called.append(_PLACE.get()), interval_s=0.001):
        wait_until(lambda: len(called) > 2, timeout_s=5, interval_s=0.001)
    after = len(called)
    time.sleep(0.05)

    assert len(called) == after
    assert set(called) == {"ours"}


def test_it_ends_with_a_failure_of_the_block() -> None:
    before = threading.active_count()
    with pytest.raises(KeyError), meanwhile(lambda: None, interval_s=0.001):
        raise KeyError

    assert threading.active_count() == before
