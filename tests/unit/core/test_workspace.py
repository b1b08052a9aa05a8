# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import datetime
import errno
import json
import os
import re
import shutil
import threading
import time
import types
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path

import pytest

from goldsmith.core import builds, cache, files, paths, proc, scratch
from goldsmith.errors import HostError


@pytest.fixture
def dead_run() -> Path:
    """A run's folder whose lock nobody holds."""
    folder = paths.scratch_root() / "run-dead"
    folder.mkdir()
    (folder / "lock").touch()
    return folder


@pytest.fixture
def build(tmp_path: Path) -> Path:
    folder = tmp_path / "out" / "tiny" / "20260101T000000Z-abc"
    folder.mkdir(parents=True)
    return folder


def make_verified(build: Path) -> None:
    (build / "manifest.json").write_text(json.dumps({"verification": {"result": "passed"}}))


def filler(text: str = "content") -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / "file").write_text(text)

    return make


def test_run_has_a_folder_of_its_own_that_is_gone_afterwards() -> None:
    with scratch.run() as run:
        assert scratch.live_runs() == [run.folder]
        assert proc.environment()[proc.RUN_MARKER] == str(run.folder)
        assert proc.RUN_MARKER not in os.environ

    assert not run.folder.exists()
    assert proc.RUN_MARKER not in proc.environment()


def test_runs_may_lie_within_each_other() -> None:
    with scratch.run() as outer:
        with scratch.run() as inner:
            assert proc.environment()[proc.RUN_MARKER] == str(inner.folder)

        assert proc.environment()[proc.RUN_MARKER] == str(outer.folder)
        assert outer.folder.exists()


def test_within_a_run_of_another_process_a_run_marks_what_it_starts_as_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(proc.RUN_MARKER, "run-of-who-started-us")

    with scratch.run() as run:
        marked = proc.capture(["sh", "-c", f"echo ${proc.RUN_MARKER}"])

    assert marked.strip() == str(run.folder)
    assert proc.environment()[proc.RUN_MARKER] == "run-of-who-started-us"


def test_threads_of_a_run_mark_what_they_start(tmp_path: Path) -> None:
    found: dict[str, str] = {}

    def start(name: str) -> None:
        found[name] = proc.capture(["sh", "-c", f"echo ${proc.RUN_MARKER}"]).strip()

    with scratch.run() as run:
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
        with scratch.run() as run:
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


def test_a_thread_that_outlives_its_run_works_for_the_one_around() -> None:
    with scratch.run() as outer:
        with scratch.run():
            late = copy_context()

        assert late.run(proc.mark) == {proc.RUN_MARKER: str(outer.folder)}


def test_run_is_never_seen_without_its_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else somebody who cleans up at this very moment would take it for a dead one."""
    seen: list[bool] = []

    def watch(self: Path, target: Path) -> Path:
        seen.append(not list(paths.scratch_root().glob("run-*")))
        shutil.move(self, target)
        seen.append(scratch.live_runs() == [target])
        return target

    monkeypatch.setattr(Path, "rename", watch)
    with scratch.run():
        pass

    assert seen == [True, True]


def test_run_cleans_up_after_a_dead_one(dead_run: Path) -> None:
    with scratch.run():
        assert not dead_run.exists()


def test_cleaning_leaves_a_live_run_alone() -> None:
    with scratch.run() as run:
        done = scratch.clean_dead_runs()

        assert done == []
        assert run.folder.exists()


def test_folder_of_a_run_that_died_while_it_began_goes_after_a_minute() -> None:
    young, old = (paths.scratch_root() / f"new-{name}" for name in ("young", "old"))
    young.mkdir()
    old.mkdir()
    os.utime(old, (time.time() - 61, time.time() - 61))

    assert scratch.clean_dead_runs() == [f"removed {old}"]
    assert young.exists()


@pytest.mark.parametrize(
    "name", ["tiny-amd64.qcow2", "tiny-amd64.raw", "tiny-amd64.qcow2.part", ".manifest.json.x1"]
)
def test_disk_and_half_written_files_of_a_dead_run_go(dead_run: Path, build: Path, name: str) -> None:
    (dead_run / "build").write_text(str(build))
    (build / name).touch()
    (build / "build.log").touch()

    scratch.clean_dead_runs()

    assert [path.name for path in build.iterdir()] == ["build.log"]


def test_disk_of_a_verified_build_stays(dead_run: Path, build: Path) -> None:
    (dead_run / "build").write_text(str(build))
    (build / "tiny-amd64.qcow2").touch()
    (build / ".timings.json.x1").touch()
    make_verified(build)

    scratch.clean_dead_runs()

    assert {path.name for path in build.iterdir()} == {"tiny-amd64.qcow2", "manifest.json"}


def test_disk_that_is_to_be_kept_stays(dead_run: Path, build: Path) -> None:
    (dead_run / "build").write_text(str(build))
    (build / "tiny-amd64.qcow2").touch()
    (build / "keep").touch()

    scratch.clean_dead_runs()

    assert (build / "tiny-amd64.qcow2").exists()


def test_failed_run_drops_its_disk(build: Path) -> None:
    def fail() -> None:
        with scratch.run() as run:
            run.claim_build(build)
            (build / "tiny-amd64.qcow2").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert not (build / "tiny-amd64.qcow2").exists()


def test_full_disk_is_told_with_the_variable_that_moves_it() -> None:
    with pytest.raises(HostError, match=r"the disk of \S+ is full") as e, scratch.run():
        raise OSError(errno.ENOSPC, "No space left on device")

    assert re.search(r"set GOLDSMITH_(SCRATCH|OUT|CACHE) to a larger disk", e.value.hint or "")


def test_a_full_disk_of_results_is_told_with_the_word_that_named_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    free = types.SimpleNamespace
    monkeypatch.setattr("shutil.disk_usage", lambda path: free(free=0 if path == elsewhere else 1))

    with pytest.raises(HostError, match=f"{elsewhere} is full") as e, scratch.run(out=elsewhere):
        raise OSError(errno.ENOSPC, "No space left on device")

    assert str(e.value.hint).endswith("set --out to a larger disk")


def test_full_disk_is_seen_among_many_errors() -> None:
    with pytest.raises(HostError, match="is full"), scratch.run():
        raise shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")])


def test_other_errors_of_the_system_stay_what_they_are() -> None:
    with pytest.raises(PermissionError), scratch.run():
        raise PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize("path", ["/tmp/with a space", "/tmp/" + "long" * 15])
def test_scratch_folder_must_be_short_and_without_spaces(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("GOLDSMITH_SCRATCH", path)

    with pytest.raises(HostError, match="has a space or is longer"):
        paths.scratch_root()

    assert not Path(path).exists()


def test_scratch_folder_must_not_be_a_link(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    link = Path(f"/tmp/goldsmith-link-{os.getpid()}")
    link.symlink_to(tmp_path)
    monkeypatch.setenv("GOLDSMITH_SCRATCH", str(link))
    try:
        with pytest.raises(HostError, match="belongs to somebody else"):
            paths.scratch_root()
    finally:
        link.unlink()


def test_two_builds_of_one_second_get_two_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([1, 1, 2])  # the second build looks again
    now = types.SimpleNamespace(
        now=lambda zone: datetime.datetime(2026, 1, 1, 0, 0, next(seconds), tzinfo=zone)
    )
    monkeypatch.setattr(builds, "datetime", types.SimpleNamespace(datetime=now, UTC=datetime.UTC))
    monkeypatch.setattr(builds, "time", types.SimpleNamespace(sleep=lambda _: None))

    names = [builds.new_build_folder(tmp_path, "tiny", "abc1234").name for _ in range(2)]

    assert names == ["20260101T000001Z-abc1234", "20260101T000002Z-abc1234"]
    assert sorted(path.name for path in (tmp_path / "tiny").iterdir()) == names


def test_output_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").touch()

    with pytest.raises(HostError, match="cannot write to") as e:
        builds.new_build_folder(tmp_path / "out", "tiny", "abc1234")

    assert "--out" in (e.value.hint or "")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"verification": null}', '{"verification": {"result": "failed"}}']
)
def test_build_without_a_good_verdict_is_not_verified(build: Path, text: str) -> None:
    (build / "manifest.json").write_text(text)

    assert not builds.is_verified(build)


def test_file_that_cannot_be_written_whole_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    with pytest.raises(TypeError):
        files.write_atomically(path, "no bytes")  # type: ignore[arg-type]

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_entry_is_made_once() -> None:
    calls: list[Path] = []

    def make(folder: Path) -> None:
        calls.append(folder)
        (folder / "file").touch()

    first = cache.cached("kind", "key", make)
    second = cache.cached("kind", "key", make)

    assert first == second
    assert len(calls) == 1


@pytest.mark.parametrize("harm", ["changed", "missing", "more"])
def test_broken_entry_is_made_anew(harm: str) -> None:
    entry = cache.cached("kind", "key", filler())
    if harm == "changed":
        (entry / "file").write_text("else")
    elif harm == "missing":
        (entry / "file").unlink()
    else:
        (entry / "stranger").touch()

    cache.cached("kind", "key", filler())

    assert {path.name for path in entry.iterdir()} == {"file", ".files.json"}
    assert (entry / "file").read_text() == "content"


def test_entry_that_fails_leaves_nothing() -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cache.cached("kind", "key", fail)

    assert [path.name for path in (paths.cache_root() / "kind").iterdir()] == [".key.lock"]


def test_entry_that_does_not_fit_is_told() -> None:
    def fail(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(HostError, match="is full"):
        cache.cached("kind", "key", fail)


def test_second_one_who_wants_an_entry_waits_for_the_first(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(folder: Path) -> None:
        begun.set()
        go_on.wait(5)
        (folder / "file").write_text("first")

    first = threading.Thread(target=cache.cached, args=("kind", "key", slow))
    first.start()
    begun.wait(5)
    second = threading.Thread(target=cache.cached, args=("kind", "key", filler("second")))
    second.start()
    time.sleep(0.1)
    go_on.set()
    first.join()
    second.join()

    assert (paths.cache_root() / "kind" / "key" / "file").read_text() == "first"


@pytest.fixture
def unfinished() -> Path:
    folder = paths.cache_root() / "kind" / ".new-a-key-x1y2z3"
    folder.mkdir(parents=True)
    return folder


def test_unfinished_entry_of_a_dead_run_is_removed_by_the_next_run(unfinished: Path) -> None:
    with scratch.run():
        assert not unfinished.exists()


def test_entry_that_somebody_is_filling_stays() -> None:
    seen: list[bool] = []

    def make(folder: Path) -> None:
        scratch.clean_dead_runs()
        seen.append(folder.exists())

    cache.cached("kind", "key", make)

    assert seen == [True]


def test_cleaning_the_cache_removes_broken_entries_alone() -> None:
    good = cache.cached("kind", "good", filler())
    bad = cache.cached("kind", "bad", filler())
    (bad / "file").unlink()

    done = cache.clean_cache()

    assert done == [f"removed {bad} (broken)"]
    assert good.exists()


def test_cleaning_the_cache_removes_old_entries_if_asked() -> None:
    old, new = (cache.cached("kind", name, filler()) for name in ("old", "new"))
    os.utime(old, (time.time() - 8 * 86400,) * 2)

    assert cache.clean_cache(older_than_days=7) == [f"removed {old} (unused for 8 days)"]
    assert new.exists()


def test_use_makes_an_entry_young_again() -> None:
    entry = cache.cached("kind", "key", filler())
    os.utime(entry, (0, 0))

    cache.cached("kind", "key", filler())

    assert time.time() - entry.stat().st_mtime < 60


@pytest.mark.parametrize("key", ["", ".", "..", "a/b"])
def test_a_key_cannot_name_a_folder_elsewhere(key: str) -> None:
    with pytest.raises(ValueError, match="no name for a cache entry"):
        cache.cached("kind", key, lambda _: None)
