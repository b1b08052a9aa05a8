# SPDX-License-Identifier: Apache-2.0
"""Whose processes end with a run, and whose folders are taken for ours."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.core import isolation, paths, reaper, runs, wait
from goldsmith.errors import HostError
from tests.host_safety.conftest import Start

pytestmark = pytest.mark.integration

DeadRun = Callable[[Path], Path]
USER = 4711


def test_processes_that_look_at_a_killed_run_live_on_and_are_named(
    place: Path, dead_run: DeadRun, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = dead_run(place / "s")
    (run / "log").touch()
    for folder in (run.parent, run):
        folder.chmod(0o755)
    others = [
        start("tail", "-f", str(run / "log")),
        start("sleep", "60", cwd=run),
        start("tail", "-f", str(run / "log"), user=USER),
        start("sh", "-c", "sleep 60; :", str(run)),
    ]
    ours = start("sleep", "60", marker=run)
    monkeypatch.setenv("GOLDSMITH_SCRATCH", str(place / "s"))
    wait.wait_until(lambda: len(reaper.busy(run)) == 3, timeout_s=20)

    done = runs.clean_dead_runs()

    assert [each.poll() for each in others] == [None] * 4
    assert ours.wait(5) == -9
    named = [line.split()[2] for line in done.left if line.startswith("busy: process")]
    assert named == [str(pid) for pid in sorted(each.pid for each in others[:3])]


def test_all_in_the_namespaces_of_a_run_ends_with_it(place: Path, guard: Path, start: Start) -> None:
    run = place / "run"
    (run / "mnt").mkdir(parents=True)
    script = f"""
        mount --bind {guard} {run}/mnt
        env -i setsid sleep 1001 &
        touch {place}/ready
        env -i sleep 1002
    """
    program = start(*isolation.contained(["sh", "-c", script]), marker=run)
    wait.wait_until(lambda: (place / "ready").exists(), timeout_s=20)

    assert reaper.mounts(run) == [], "its mounts are its own"
    found = reaper.leftovers(run)
    assert [line for line in found if "sleep 1001" in line]
    reaper.reap(run)

    program.wait(5)
    assert reaper.leftovers(run) == []
    assert sleeping("1001", "1002") == []
    assert (guard / "deep/file").exists()


def test_a_container_in_which_a_run_was_killed_lives_on(place: Path, start: Start) -> None:
    """A process namespace is only the run's if its first process is."""
    script = f"sleep 1003 & env GOLDSMITH_RUN={place} sleep 1004 & touch {place}/ready; wait"
    start("unshare", "--pid", "--fork", "sh", "-c", script)
    wait.wait_until(lambda: (place / "ready").exists() and sleeping("1003", "1004"), timeout_s=20)

    reaper.reap(place)

    assert sleeping("1003", "1004") == ["1003"]


def sleeping(*seconds: str) -> list[str]:
    """Of these sleepers the ones that live."""
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [each for each in seconds if f"\nsleep {each}\n" in found]


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Path:
    """/var/tmp, in which another user made folders before us."""
    folder = Path("/var/tmp")
    monkeypatch.setenv("GOLDSMITH_SCRATCH", str(folder))
    return folder


def test_folders_that_another_user_made_in_a_shared_folder_stay(
    shared: Path, guard: Path, start: Start
) -> None:
    script = f"mkdir -m 700 run-evil1234 && cd run-evil1234 && touch lock && printf %s {guard} > build"
    script += " && echo 'goldsmith run' > .goldsmith && ln -s /dev out"
    assert start("sh", "-c", script, user=USER, cwd=shared).wait(5) == 0

    with runs.run() as run:
        assert run.folder.parent == shared / f"goldsmith-{os.geteuid()}"

    assert (shared / "run-evil1234/build").exists()
    assert (guard / "deep/file").exists()


def test_a_folder_of_another_user_in_the_place_of_ours_is_refused(shared: Path, start: Start) -> None:
    own = shared / f"goldsmith-{os.geteuid()}"
    if own.exists():
        own.rmdir()
    assert start("mkdir", "-m", "700", str(own), user=USER).wait(5) == 0

    with pytest.raises(HostError, match="belongs to another user"):
        paths.scratch_root()
    own.rmdir()
