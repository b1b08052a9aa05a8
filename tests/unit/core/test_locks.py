# SPDX-License-Identifier: Apache-2.0
"""Two descriptors of one file behave like two processes: flock(2) locks the open file description."""

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


def test_the_second_holder_gets_the_given_error(path: Path) -> None:
    second = locks.locked(path, taken=HostError("the cloud is in use"))

    with locks.locked(path), pytest.raises(HostError, match="is in use") as e:
        second.__enter__()

    assert e.value.__cause__ is None
    assert e.value.__suppress_context__


def test_a_waiting_process_gets_the_lock_in_the_end(path: Path) -> None:
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


def test_an_inherited_descriptor_keeps_the_lock(path: Path) -> None:
    with locks.locked(path) as lock:
        handed_on = os.dup(lock)
    assert locks.is_held(path)

    os.close(handed_on)

    assert not locks.is_held(path)


def test_is_held_does_not_count_as_a_holder(path: Path) -> None:
    with path.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_SH)

        assert not locks.is_held(path)
