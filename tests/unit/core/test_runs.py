# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import time
from contextvars import copy_context
from pathlib import Path

import pytest

from goldsmith.core import ownership, paths, proc, reaper, removal, runs
from goldsmith.core.ownership import Cleaned
from goldsmith.errors import BuildError, HostError


@pytest.fixture
def dead_run() -> Path:
    """A run's folder whose lock nobody holds."""
    folder = paths.scratch_root() / "run-dead"
    folder.mkdir(mode=0o700)
    ownership.mark(folder, "run")
    (folder / "lock").touch()
    return folder


@pytest.fixture
def build(tmp_path: Path) -> Path:
    folder = tmp_path / "out" / "tiny" / "20260101T000000Z-abc"
    folder.mkdir(parents=True)
    return folder


def make_verified(build: Path) -> None:
    (build / "manifest.json").write_text(json.dumps({"verification": {"result": "passed"}}))


def test_run_has_its_own_folder_and_removes_it_at_the_end() -> None:
    with runs.run() as run:
        assert runs.live_runs() == [run.folder]
        assert proc.environment()[proc.RUN_MARKER] == str(run.folder)
        assert proc.RUN_MARKER not in os.environ

    assert not run.folder.exists()
    assert proc.RUN_MARKER not in proc.environment()


def test_no_hint_names_a_log_that_goes_with_its_run(tmp_path: Path) -> None:
    with pytest.raises(BuildError) as gone, runs.run() as run:
        raise BuildError("mkfs failed", hint=f"full log: {run.folder / 'log'}")
    with pytest.raises(BuildError) as stays, runs.run():
        raise BuildError("mkfs failed", hint=f"full log: {tmp_path / 'build.log'}")

    assert gone.value.hint is None
    assert stays.value.hint == f"full log: {tmp_path / 'build.log'}"


def test_runs_may_be_nested() -> None:
    with runs.run() as outer:
        with runs.run() as inner:
            assert proc.environment()[proc.RUN_MARKER] == str(inner.folder)

        assert proc.environment()[proc.RUN_MARKER] == str(outer.folder)
        assert outer.folder.exists()


def test_within_a_run_of_another_process_a_run_marks_what_it_starts_as_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(proc.RUN_MARKER, "run-of-who-started-us")

    with runs.run() as run:
        marked = proc.capture(["sh", "-c", f"echo ${proc.RUN_MARKER}"])

    assert marked.strip() == str(run.folder)
    assert proc.environment()[proc.RUN_MARKER] == "run-of-who-started-us"


def test_threads_of_a_run_mark_what_they_start(tmp_path: Path) -> None:
    found: dict[str, str] = {}

    def start(name: str) -> None:
        found[name] = proc.capture(["sh", "-c", f"echo ${proc.RUN_MARKER}"]).strip()

    with runs.run() as run:
        threads = [
            threading.Thread(target=start, args=("bare",)),
            threading.Thread(target=copy_context().run, args=(start, "told")),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert found == {"bare": str(run.folder), "told": str(run.folder)}


def test_runs_of_two_threads_do_not_take_each_others_mark() -> None:
    both, wrong = threading.Barrier(2, timeout=10), []

    def work() -> None:
        with runs.run() as run:
            both.wait()  # the other's has begun
            wrong.extend([run.folder] if proc.mark() != {proc.RUN_MARKER: str(run.folder)} else [])
            both.wait()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert proc.mark() == {}


def test_a_thread_that_outlives_its_run_belongs_to_the_outer_run() -> None:
    with runs.run() as outer:
        with runs.run():
            late = copy_context()

        assert late.run(proc.mark) == {proc.RUN_MARKER: str(outer.folder)}


def test_run_is_never_seen_without_its_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a clean-up at this moment would take it for a dead run."""
    seen: list[bool] = []

    def watch(self: Path, target: Path) -> Path:
        seen.append(not list(paths.scratch_root().glob("run-*")))
        shutil.move(self, target)
        seen.append(runs.live_runs() == [target])
        return target

    monkeypatch.setattr(Path, "rename", watch)
    with runs.run():
        pass

    assert seen == [True, True]


def test_run_cleans_up_after_a_dead_one(dead_run: Path) -> None:
    with runs.run():
        assert not dead_run.exists()


@pytest.mark.parametrize("name", ["run-2026data", "new-results", "run-of-mine"])
def test_a_folder_that_is_only_named_as_a_run_is_left_alone_and_named(name: str) -> None:
    folder = paths.scratch_root() / name
    folder.mkdir()
    for file in ("lock", "data"):
        (folder / file).touch()
    os.utime(folder, (0, 0))

    done = runs.clean_dead_runs()

    assert (folder / "data").exists()
    assert done == Cleaned(left=[f"{folder}: it is not marked as ours"])


def test_a_file_or_a_link_named_as_a_run_is_left_alone(tmp_path: Path) -> None:
    file, link = (paths.scratch_root() / f"run-{name}" for name in ("file", "link"))
    file.touch()
    link.symlink_to(tmp_path)
    (tmp_path / "lock").touch()
    ownership.mark(tmp_path, "run")

    runs.clean_dead_runs()

    assert file.exists()
    assert link.is_symlink()
    assert (tmp_path / "lock").exists()


def test_a_dead_run_that_only_root_can_clean_up_is_in_nobodys_way(
    dead_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> list[str]:
        if folder == dead_run:
            raise HostError("sudo is not installed")
        return []

    monkeypatch.setattr(reaper, "reap", refuse)
    monkeypatch.setattr(removal, "remove_tree_as_root", lambda folder: False)

    with runs.run():
        done = runs.clean_dead_runs()

    assert f"{dead_run}: sudo is not installed" in done.left


def test_a_new_run_on_a_full_disk_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_words: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ownership, "mark", full)

    with pytest.raises(HostError, match="is full"), runs.run():
        pass
    assert list(paths.scratch_root().iterdir()) == []


def test_only_a_build_loses_its_unfinished_files(dead_run: Path, tmp_path: Path) -> None:
    """The file `build` may say what it likes."""
    (tmp_path / ".profile").touch()
    (dead_run / "build").write_text(str(tmp_path))

    runs.clean_dead_runs()

    assert (tmp_path / ".profile").exists()
    assert not dead_run.exists()


def test_cleaning_leaves_a_live_run_alone() -> None:
    with runs.run() as run:
        done = runs.clean_dead_runs()

        assert done == Cleaned()
        assert run.folder.exists()


def test_folder_of_a_run_that_died_at_its_start_is_removed_after_a_minute() -> None:
    young, old = (paths.scratch_root() / f"new-{name}" for name in ("young", "old"))
    for folder in (young, old):
        folder.mkdir(mode=0o700)
        ownership.mark(folder, "run")
    os.utime(old, (time.time() - 61, time.time() - 61))

    assert runs.clean_dead_runs() == Cleaned(removed=[f"removed {old}"])
    assert young.exists()


@pytest.mark.parametrize(
    "name", ["tiny-amd64.qcow2", "tiny-amd64.raw", "tiny-amd64.qcow2.part", ".manifest.json.x1"]
)
def test_disk_and_half_written_files_of_a_dead_run_go(dead_run: Path, build: Path, name: str) -> None:
    (dead_run / "build").write_text(str(build))
    (build / name).touch()
    (build / "build.log").touch()

    runs.clean_dead_runs()

    assert [path.name for path in build.iterdir()] == ["build.log"]


def test_disk_of_a_verified_build_stays(dead_run: Path, build: Path) -> None:
    (dead_run / "build").write_text(str(build))
    (build / "tiny-amd64.qcow2").touch()
    (build / ".timings.json.x1").touch()
    make_verified(build)

    runs.clean_dead_runs()

    assert {path.name for path in build.iterdir()} == {"tiny-amd64.qcow2", "manifest.json"}


def test_disk_of_a_build_marked_to_be_kept_stays(dead_run: Path, build: Path) -> None:
    (dead_run / "build").write_text(str(build))
    (build / "tiny-amd64.qcow2").touch()
    (build / "keep").touch()

    runs.clean_dead_runs()

    assert (build / "tiny-amd64.qcow2").exists()


def test_failed_run_drops_its_disk(build: Path) -> None:
    def fail() -> None:
        with runs.run() as run:
            run.claim_build(build)
            (build / "tiny-amd64.qcow2").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert not (build / "tiny-amd64.qcow2").exists()
