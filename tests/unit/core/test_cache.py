# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.core import cache, paths, runs
from goldsmith.core.ownership import Cleaned
from goldsmith.errors import HostError
from goldsmith.layers import root


def filler(text: str = "content") -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / "file").write_text(text)

    return make


def test_entry_is_made_once() -> None:
    calls: list[Path] = []

    def make(folder: Path) -> None:
        calls.append(folder)
        (folder / "file").touch()

    first = cache.cached("kind", "key", make)
    second = cache.cached("kind", "key", make)

    assert first == second
    assert len(calls) == 1


def test_entries_that_any_thread_uses_are_recorded_while_asked() -> None:
    cache.cached("kind", "before", filler())
    with cache.recorded() as outer:
        cache.cached("kind", "one", filler())
        with cache.recorded() as inner:
            thread = threading.Thread(target=cache.cached, args=("kind", "before", filler()))
            thread.start()
            thread.join()
            with pytest.raises(ZeroDivisionError):
                cache.cached("kind", "failed", lambda _: print(1 / 0))
    cache.cached("kind", "after", filler())

    assert inner == {("kind", "before")}
    assert outer == {("kind", "one"), ("kind", "before")}


def test_only_an_intact_entry_has_sealed_files() -> None:
    entry = cache.cached("kind", "key", filler())
    sealed = cache.sealed("kind", "key")
    assert sealed is not None
    assert list(sealed) == ["file"]
    (entry / "file").write_text("else")
    assert cache.sealed("kind", "key") is None
    assert cache.sealed("kind", "other") is None


@pytest.mark.parametrize("harm", ["changed", "missing", "more"])
def test_broken_entry_is_made_again(harm: str) -> None:
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


def test_full_disk_is_reported() -> None:
    def fail(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(HostError, match="is full"):
        cache.cached("kind", "key", fail)


def test_second_caller_of_an_entry_waits_for_the_first(tmp_path: Path) -> None:
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


def test_an_entry_that_is_made_again_stays_until_its_successor_is_complete() -> None:
    entry = cache.cached("kind", "key", filler("old"))

    def fail(folder: Path) -> None:
        assert (entry / "file").read_text() == "old"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cache.cached("kind", "key", fail, again=True)
    assert cache.is_intact(entry)
    cache.cached("kind", "key", filler("new"), again=True)

    assert (entry / "file").read_text() == "new"
    assert cache.is_intact(entry)
    assert sorted(path.name for path in entry.parent.iterdir()) == [".key.lock", "key"]


_KILLED = """
import os, pathlib, sys
from goldsmith.core import cache

rename = pathlib.Path.rename

def killed(source, target):
    if source.name == "new":
        os._exit(9)
    return rename(source, target)

pathlib.Path.rename = killed
cache.cached("kubelet", "key", lambda folder: (folder / "file").write_text("new"), again=True)
"""


@pytest.mark.parametrize("clean", [False, True])
def test_an_entry_is_not_lost_when_its_replacement_is_killed(clean: bool) -> None:
    entry = cache.cached("kubelet", "key", filler("old"))
    done = subprocess.run([sys.executable, "-c", _KILLED], cwd=paths.project_root(), check=False)
    assert (done.returncode, entry.exists()) == (9, False)

    if clean:
        cache.clean_unfinished_entries()
    else:
        cache.cached("kubelet", "key", lambda _: pytest.fail("made again"))

    assert (entry / "file").read_text() == "old"
    cache.clean_unfinished_entries()
    assert sorted(path.name for path in entry.parent.iterdir()) == [".key.lock", "key"]


def test_others_may_read_an_entry_whatever_the_umask() -> None:
    before = os.umask(0o077)
    try:
        entry = cache.cached("kind", "key", filler())
    finally:
        os.umask(before)

    assert entry.stat().st_mode & 0o777 == 0o755


def test_entries_that_are_made_side_by_side_are_made_once(capsys: pytest.CaptureFixture[str]) -> None:
    made: list[str] = []

    def make(*keys: str) -> None:
        with cache.making("kind", keys):
            if "a" not in made:
                time.sleep(0.2)
                made.append("a")

    others = [threading.Thread(target=make, args=keys) for keys in (("b", "a"), ("a", "b"), ("a",))]
    for other in others:
        other.start()
    for other in others:
        other.join(10)

    assert made == ["a"]
    assert "waiting for another process that makes the same kind" in capsys.readouterr().err


@pytest.fixture
def unfinished() -> Path:
    folder = paths.cache_root() / "kubelet" / ".new-a-key-x1y2z3"
    folder.mkdir(parents=True)
    return folder


def test_unfinished_entry_of_a_dead_run_is_removed_by_the_next_run(unfinished: Path) -> None:
    with runs.run():
        assert not unfinished.exists()


def test_entry_that_is_being_filled_stays() -> None:
    seen: list[bool] = []

    def make(folder: Path) -> None:
        runs.clean_dead_runs()
        seen.append(folder.exists())

    cache.cached("kind", "key", make)

    assert seen == [True]


def test_cleaning_the_cache_removes_only_broken_entries() -> None:
    good = cache.cached("kind", "good", filler())
    bad = cache.cached("kind", "bad", filler())
    (bad / "file").unlink()

    done = cache.clean_cache()

    assert done == Cleaned(removed=[f"removed {bad} (broken)"])
    assert good.exists()


def test_cleaning_the_cache_removes_old_entries_if_asked() -> None:
    old, new = (cache.cached("kind", name, filler()) for name in ("old", "new"))
    os.utime(old, (time.time() - 8 * 86400,) * 2)

    done = cache.clean_cache(older_than_days=7)

    assert done == Cleaned(removed=[f"removed {old} (unused for 8 days)"])
    assert new.exists()


def test_use_resets_the_age_of_an_entry() -> None:
    entry = cache.cached("kind", "key", filler())
    os.utime(entry, (0, 0))

    cache.cached("kind", "key", filler())

    assert time.time() - entry.stat().st_mtime < 60


@pytest.mark.parametrize("key", ["", ".", "..", "a/b"])
def test_a_key_cannot_name_a_folder_outside_the_cache(key: str) -> None:
    with pytest.raises(ValueError, match="not a valid name of a cache entry"):
        cache.cached("kind", key, lambda _: None)


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of somebody's that became our cache: it has folders like ours, too."""
    root = tmp_path / "shared"
    for name in ("photos/2026", "index/paper", "layer/.new-onions-1"):
        (root / name).mkdir(parents=True)
        (root / name / "file").touch()
    monkeypatch.setenv("GOLDSMITH_CACHE", str(root))
    return root


def test_cleaning_removes_nothing_from_a_folder_that_others_use(shared: Path) -> None:
    entry = cache.cached("kubelet", "broken", filler())
    (entry / "file").unlink()

    done = cache.clean_cache(older_than_days=0)

    assert done.removed == []
    assert (
        f"{shared}: nothing in it was removed: it also holds index, photos; set GOLDSMITH_CACHE"
        in done.left[0]
    )
    assert len(list(shared.rglob("file"))) == 3


def test_what_others_put_into_our_cache_later_is_left_alone(tmp_path: Path) -> None:
    cache.cached("kubelet", "key", filler())
    (paths.cache_root() / "photos/2026").mkdir(parents=True)
    (paths.cache_root() / "link").symlink_to(tmp_path)

    theirs = ("photos/2026", "go/pkg", "registry/docker", "debian/pool")
    for name in theirs:
        (paths.cache_root() / name).mkdir(parents=True, exist_ok=True)

    assert cache.clean_cache(older_than_days=-1) == Cleaned(
        removed=[f"removed {paths.cache_root()}/kubelet/key (unused for 0 days)"]
    )
    assert all((paths.cache_root() / name).exists() for name in theirs)


@pytest.mark.parametrize("names", [("go/src", "debian/pool"), ("environments/mine",), ("index/papers",)])
def test_a_folder_of_somebodys_whose_names_are_as_ours_is_not_taken_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, names: tuple[str, ...]
) -> None:
    for name in names:
        (tmp_path / "theirs" / name).mkdir(parents=True)
    monkeypatch.setenv("GOLDSMITH_CACHE", str(tmp_path / "theirs"))

    done = cache.clean_cache(older_than_days=-1)

    assert done.removed == []
    assert f"it also holds {names[-1].partition('/')[0]}" in done.left[0]


def test_a_cache_of_an_earlier_version_is_taken_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    entry = cache.cached("container", "key", filler())
    (entry / "file").unlink()
    (paths.cache_root() / ".goldsmith").unlink()
    (paths.cache_root() / "environments/abc").mkdir(parents=True)
    (paths.cache_root() / "environments/abc/pyvenv.cfg").touch()

    assert cache.clean_cache() == Cleaned(removed=[f"removed {entry} (broken)"])


def test_every_kind_of_entries_is_known() -> None:
    calls = re.compile(r"cached\(\s*f?\"([\w-]+)")
    sources = (paths.project_root() / "goldsmith").rglob("*.py")

    kinds = {kind for source in sources for kind in calls.findall(source.read_text())} | {root.KIND}

    assert len(kinds) > 10
    assert {kind for kind in kinds if kind not in cache.KINDS and kind != "disk-"} == set()


def test_of_a_kind_the_entries_used_last_stay() -> None:
    entries = [cache.cached("root", name, filler()) for name in "abcd"]
    other = cache.cached("kind", "old", filler())
    for age, entry in enumerate((*reversed(entries), other)):
        os.utime(entry, (1_000_000 - age, 1_000_000 - age))
    cache.cached("root", "a", filler())  # used again

    cache.keep_newest("root", 2)

    assert [entry.name for entry in entries if entry.exists()] == ["a", "d"]
    assert other.exists()


def test_an_entry_of_the_last_hour_stays() -> None:
    """A build may be copying it."""
    entries = [cache.cached("root", name, filler()) for name in "abc"]

    cache.keep_newest("root", 1)

    assert all(entry.exists() for entry in entries)


@pytest.fixture
def aged() -> list[Path]:
    """Four entries of 1 MiB, the first not used for longest, the last just now."""
    made = [cache.cached("root", name, lambda folder: write_mib(folder / "disk")) for name in "abcd"]
    for age, entry in zip((3, 2, 1), made, strict=False):
        os.utime(entry, (1_000_000 - age, 1_000_000 - age))
    return made


def write_mib(path: Path) -> None:
    path.write_bytes(b"x" * (1 << 20))


def names(entries: list[Path]) -> list[str]:
    return [entry.name for entry in entries if entry.exists()]


def test_a_cache_that_is_too_large_loses_what_was_unused_for_longest(aged: list[Path]) -> None:
    done = cache.shrink(int(2.5 * (1 << 20)), spared=())

    assert names(aged) == ["c", "d"]
    assert [line.rpartition(" (")[0] for line in done.removed] == [f"removed {entry}" for entry in aged[:2]]
    assert done.left == []
    assert cache.shrink(int(2.5 * (1 << 20)), spared=()).removed == []


def test_a_cache_that_is_too_large_keeps_what_is_spared_or_was_just_used(aged: list[Path]) -> None:
    done = cache.shrink(0, spared={("root", "a"), ("other", "b")})

    assert names(aged) == ["a", "d"]
    assert "locks and releases name it, or it was used in the last hour" in "".join(done.left)
