# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from goldsmith import clean
from goldsmith.core import build_folders, cache, paths, runs
from goldsmith.devcloud import instance, lifecycle
from goldsmith.errors import HostError
from goldsmith.provenance import named_entries


def build_id(day: str) -> str:
    return f"2026010{day}T000000Z-abc1234"


def make_builds(out: Path, *names: str) -> list[Path]:
    """Build folders of the spec tiny by their days; with a + it is verified, with a * published, too."""
    folders = []
    for name in names:
        folder = out / "tiny" / build_id(name.rstrip("+*"))
        folder.mkdir(parents=True)
        if name.endswith(("+", "*")):
            (folder / "manifest.json").write_text(json.dumps({"verification": {"result": "passed"}}))
        if name.endswith("*"):
            (folder / "publish-cloud.json").touch()
        folders.append(folder)
    return folders


def left(out: Path) -> list[str]:
    return sorted(path.name.removeprefix("2026010")[:1] for path in (out / "tiny").iterdir())


@pytest.mark.parametrize(
    ("builds", "keep", "stay"),
    [
        (["1", "2", "3"], 2, ["2", "3"]),
        (["1", "2", "3"], 0, []),
        (["1", "2", "3"], 9, ["1", "2", "3"]),
        (["1+", "2+", "3"], 0, ["2"]),
        (["1*", "2+", "3"], 1, ["1", "2", "3"]),
        (["1", "2*", "3*", "4+"], 0, ["2", "3", "4"]),
    ],
)
def test_newest_verified_and_published_builds_are_kept(
    tmp_path: Path, builds: list[str], keep: int, stay: list[str]
) -> None:
    make_builds(tmp_path, *builds)

    clean.clean_builds(tmp_path / "tiny", keep=keep)

    assert left(tmp_path) == stay


def test_removed_builds_are_reported(tmp_path: Path) -> None:
    first, _ = make_builds(tmp_path, "1", "2")

    done = list(clean.clean(tmp_path, cache_older_than_days=None, keep_builds=1).removed)

    assert done == [f"removed {first}"]


def test_a_live_build_is_kept(tmp_path: Path) -> None:
    (live,) = make_builds(tmp_path, "1")
    with runs.run() as run:
        run.claim_build(live)
        clean.clean_builds(tmp_path / "tiny", keep=0)

    assert live.exists()


def test_latest_is_no_build(tmp_path: Path) -> None:
    make_builds(tmp_path, "1", "2+")
    (tmp_path / "tiny" / "latest").symlink_to(build_id("2"))

    clean.clean_builds(tmp_path / "tiny", keep=1)

    assert left(tmp_path) == ["2", "l"]


def test_no_build_is_removed_without_the_option(tmp_path: Path) -> None:
    make_builds(tmp_path, "1", "2")

    assert clean.clean(tmp_path, cache_older_than_days=None, keep_builds=None).removed == ()
    assert left(tmp_path) == ["1", "2"]


def test_a_dead_cloud_is_removed_and_a_live_one_kept(tmp_path: Path) -> None:
    live, dead = instance.named("live"), instance.named("dead")
    with instance.claimed(dead):
        pass  # a folder of ours
    with instance.claimed(live):
        done = list(clean.clean(tmp_path, cache_older_than_days=None, keep_builds=None).removed)

        assert live.folder.exists()
    assert done == [f"removed {dead.folder}"]
    assert not dead.folder.exists()


def test_nothing_is_removed_from_an_output_folder_that_others_use(tmp_path: Path) -> None:
    (build,) = make_builds(tmp_path, "1")
    (tmp_path / "thesis/chapter").mkdir(parents=True)

    done = clean.clean(tmp_path, cache_older_than_days=None, keep_builds=0)

    assert build.exists()
    assert (tmp_path / "thesis/chapter").exists()
    assert done.removed == ()
    assert "also holds thesis; set GOLDSMITH_OUT" in done.left[0]
    assert done.as_text().startswith("left alone: ")


@pytest.mark.parametrize("name", ["notes", "2026", "20260101", "latest.old"])
def test_what_lies_beside_builds_is_no_build(tmp_path: Path, name: str) -> None:
    make_builds(tmp_path, "1")
    build_folders.claim(tmp_path)
    (tmp_path / "tiny" / name).mkdir()
    (tmp_path / "tiny" / name / "file").touch()

    clean.clean(tmp_path, cache_older_than_days=None, keep_builds=0)

    assert [path.name for path in (tmp_path / "tiny").iterdir()] == [name]


@pytest.mark.parametrize("name", [".publish-mine.lock", ".rollback-mine.json", ".latest.lock"])
def test_an_output_folder_that_published_before_there_were_markers_is_taken_over(
    tmp_path: Path, name: str
) -> None:
    (build,) = make_builds(tmp_path, "1")
    (build.parent / name).touch()
    (tmp_path / "tiny-images").mkdir()

    clean.clean(tmp_path, cache_older_than_days=None, keep_builds=0)

    assert not build.exists()


def test_a_live_build_is_kept_however_its_folder_was_named(tmp_path: Path) -> None:
    (live,) = make_builds(tmp_path / "real", "1")
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to("real")
    for named in (tmp_path / "sub/../real", tmp_path / "link"):
        with runs.run() as run:
            run.claim_build(named / live.relative_to(tmp_path / "real"))
            clean.clean(tmp_path / "real", cache_older_than_days=None, keep_builds=0)

    assert live.exists()


def test_a_linked_folder_of_builds_is_left_alone(tmp_path: Path) -> None:
    make_builds(tmp_path / "elsewhere", "1")
    (tmp_path / "out").mkdir()
    build_folders.claim(tmp_path / "out")
    (tmp_path / "out/tiny").symlink_to(tmp_path / "elsewhere/tiny")

    clean.clean(tmp_path / "out", cache_older_than_days=None, keep_builds=0)

    assert left(tmp_path / "elsewhere") == ["1"]


def test_a_folder_that_is_only_named_as_a_cloud_is_left_alone(tmp_path: Path) -> None:
    folder = paths.scratch_root() / "cloud-photos"
    folder.mkdir()
    (folder / "owner").touch()

    clean.clean(tmp_path, cache_older_than_days=None, keep_builds=None)
    with pytest.raises(HostError, match="is not marked as the folder of a test cloud"):
        lifecycle.down("photos")
    with pytest.raises(HostError, match="is not marked"), instance.claimed(instance.named("photos")):
        pass

    assert (folder / "owner").exists()


def test_the_cache_is_shrunk_to_what_is_asked_for_except_for_what_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(folder: Path) -> None:
        (folder / "disk").write_bytes(b"x" * (1 << 20))

    named, other = (cache.cached("bundle", name, fill) for name in ("named", "other"))
    for entry in (named, other):
        os.utime(entry, (1_000_000, 1_000_000))
    monkeypatch.setattr(named_entries, "find", lambda _out: {("bundle", "named")})

    done = clean.clean(tmp_path, cache_older_than_days=None, keep_builds=None, cache_max_bytes=0)

    assert (named.exists(), other.exists()) == (True, False)
    assert any(line.startswith(f"removed {other}") for line in done.removed)
    assert "locks and releases name it" in done.left[0]
