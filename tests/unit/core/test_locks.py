# SPDX-License-Identifier: Apache-2.0
"""Two descriptors of one file are as good as two processes: flock(2) locks what was opened."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from goldsmith.core import locks
from goldsmith.errors import HostError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def test_a_lock_is_held_for_as_long_as_its_block_lasts(path: Path) -> None:
    assert not locks.is_held(path)

    with locks.locked(path):
        assert locks.is_held(path)
        with pytest.raises(BlockingIOError), locks.locked(path):
            pass

    assert not locks.is_held(path)


def test_whoever_comes_second_says_what_is_taken(path: Path) -> None:
    second = locks.locked(path, taken=HostError("the cloud is in use"))

    with locks.locked(path), pytest.raises(HostError, match="is in use") as e:
        second.__enter__()

    assert e.value.__cause__ is None
    assert e.value.__suppress_context__


def test_whoever_waits_gets_it_in_the_end(path: Path) -> None:
    order = []

    def second() -> None:
        with locks.locked(path, wait=True):
            order.append("second")

    thread = threading.Thread(target=second)
    with locks.locked(path):
        thread.start()
        thread.join(0.1)
        order.append("first")
    thread.join(10)

    assert order == ["first", "second"]


def test_a_descriptor_that_was_handed_on_goes_on_holding_it(path: Path) -> None:
    with locks.locked(path) as lock:
        handed_on = os.dup(lock)
    assert locks.is_held(path)

    os.close(handed_on)

    assert not locks.is_held(path)


def test_somebody_who_looks_at_the_same_moment_is_no_holder(path: Path) -> None:
    with path.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_SH)

        assert not locks.is_held(path)
