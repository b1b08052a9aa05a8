# SPDX-License-Identifier: Apache-2.0
"""Kill or interrupt builds at fixed points; the next run removes their leftovers."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goldsmith.core import reaper, wait
from tests.support.builds import SPEC, Invocation, Traces, invoked
from tests.support.tiny_builds import TinyPlace, faulty

pytestmark = pytest.mark.integration

_START_S = 120
# Children of a shell that runs tests in the background ignore Ctrl-C.
_HEEDING = ("env", "--default-signal=INT,TERM")


@pytest.fixture(scope="module")
def place(make_place: Callable[[], TinyPlace]) -> TinyPlace:
    return make_place()


@contextlib.contextmanager
def building(place: TinyPlace, fault: str = "") -> Iterator[Invocation]:
    log = place.root / "victim.log"
    words: tuple[str | Path, ...] = ("build-image", SPEC, "--force", *faulty(fault))
    with invoked(place.environment(), *words, log=log, behind=_HEEDING) as build:
        yield build


def wait_for_mounts(place: TinyPlace, build: Invocation) -> None:
    """Wait until the element's script hangs: the disk is mounted, a process of root sleeps."""
    place.wait_for_log("tiny-os: hangs", build, timeout_s=_START_S)


def wait_for_vm(place: TinyPlace, build: Invocation) -> None:
    """Wait for the first output of the guest's kernel."""
    build.wait_for_text("boot ...", timeout_s=_START_S)
    wait.wait_until(
        lambda: any(path.stat().st_size for path in place.scratch.glob("run-*/console.log")),
        timeout_s=_START_S, alive=lambda: build.process.poll() is None,
    )  # fmt: skip


@pytest.mark.parametrize("whole_group", [False, True], ids=["process", "group"])
def test_clean_removes_what_a_killed_image_stage_left(place: TinyPlace, whole_group: bool) -> None:
    with building(place, fault="hang") as build:
        wait_for_mounts(place, build)
        build.kill(whole_group=whole_group)
        traces = place.traces()
        cleaned = place.inv("clean")

    assert not any(line.startswith("mount") for line in traces.survived), "they are in a namespace"
    assert any(line.startswith("loop device") for line in traces.survived)
    assert any("sleep" in line for line in traces.survived) is not whole_group
    assert cleaned.status == 0, cleaned.stderr
    assert "detached" in cleaned.stdout
    assert place.remains(traces) == []


@pytest.mark.parametrize("whole_group", [False, True], ids=["process", "group"])
def test_next_build_removes_what_a_killed_verification_left(place: TinyPlace, whole_group: bool) -> None:
    with building(place) as build:
        wait_for_vm(place, build)
        build.kill(whole_group=whole_group)
        traces = place.traces()
        following = place.build(fault="script")

    assert any("qemu-system" in line for line in traces.survived) is not whole_group
    assert following.status == 4
    assert place.remains(traces) == []


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_build_cleans_up_after_itself(place: TinyPlace, signum: signal.Signals) -> None:
    with building(place, fault="hang") as build:
        wait_for_mounts(place, build)
        devices = tuple(reaper.loop_devices(place.scratch))
        start = time.monotonic()
        os.killpg(build.process.pid, signum)  # as a terminal does it
        problems = build.expect(130, timeout_s=90)

    assert problems == []
    assert time.monotonic() - start < 60
    assert devices
    assert place.remains(Traces(runs=(), devices=devices, survived=())) == []


def test_clean_leaves_a_live_build_alone(place: TinyPlace) -> None:
    with building(place, fault="hang") as build:
        wait_for_mounts(place, build)
        before = reaper.leftovers(place.scratch)
        cleaned = place.inv("clean")
        after = reaper.leftovers(place.scratch)
        build.process.send_signal(signal.SIGTERM)
        build.expect(130, timeout_s=90)

    assert cleaned.stdout == "nothing to remove\n"
    assert before
    assert after == before
