# SPDX-License-Identifier: Apache-2.0
"""Live mounts in the folder of a killed run: /dev, a folder of the same file system, a file."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.core import reaper, removal, runs
from tests.support.safe_room import STAND_IN

pytestmark = pytest.mark.integration

DeadRun = Callable[[Path], Path]


def mount_all(run: Path, guard: Path) -> None:
    """What diskimage-builder mounts, and worse."""
    for name in ("dev", "same", "image/root"):
        (run / name).mkdir(parents=True)
    (run / "file").touch()
    for source, target in (("/dev", "dev"), (guard, "same"), (guard / "deep/file", "file")):
        subprocess.run(["mount", "--bind", source, run / target], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", run / "image"], check=True)
    (run / "image/root").mkdir()
    subprocess.run(["mount", "--bind", guard, run / "image/root"], check=True)


def assert_untouched(guard: Path) -> None:
    assert (guard / "deep/file").read_text() == "precious"
    assert STAND_IN.read_text() == "stand-in\n"
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("named", ["real", "link", "relative", "link/deeper", "real/../real"])
def test_a_killed_run_is_removed_without_what_is_mounted_in_it(
    place: Path, guard: Path, dead_run: DeadRun, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    scratch = place / "real/deeper" if named == "link/deeper" else place / "real"
    (place / "real").mkdir(mode=0o700)
    (place / "link").symlink_to("real")
    monkeypatch.chdir(place)
    monkeypatch.setenv("GOLDSMITH_SCRATCH", "real" if named == "relative" else str(place / named))
    run = dead_run(scratch)
    mount_all(run, guard)

    done = runs.clean_dead_runs()

    assert_untouched(guard)
    assert not run.exists()
    assert sum(line.startswith("unmounted") for line in done.removed) == 5
    assert reaper.mounts(place) == []


def test_what_cannot_be_unmounted_stays_with_what_is_in_it(
    place: Path, guard: Path, dead_run: DeadRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = dead_run(place / "s")
    mount_all(run, guard)
    monkeypatch.setenv("GOLDSMITH_SCRATCH", str(place / "s"))
    monkeypatch.setattr(reaper, "_unmount", lambda folder, *how: [])

    done = runs.clean_dead_runs()

    assert_untouched(guard)
    assert len(reaper.mounts(run)) == 5
    assert [line for line in done.left if str(run) in line]


def test_a_mount_that_the_reaper_does_not_see_is_not_entered(
    place: Path, guard: Path, dead_run: DeadRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = dead_run(place / "s")
    mount_all(run, guard)
    monkeypatch.setattr(reaper, "mounts", lambda folder: [])

    assert not removal.remove_tree(run)
    assert_untouched(guard)


def test_a_folder_that_is_itself_a_mount_is_not_emptied(place: Path, guard: Path) -> None:
    (place / "point").mkdir()
    subprocess.run(["mount", "--bind", guard, place / "point"], check=True)

    assert not removal.remove_tree(place / "point")
    assert_untouched(guard)
