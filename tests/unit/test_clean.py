# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest

from goldsmith import clean
from goldsmith.core import runs
from goldsmith.devcloud import instance


def make_builds(out: Path, *names: str) -> list[Path]:
    """Build folders of the spec tiny; a name that ends in + is verified, in * published."""
    folders = []
    for name in names:
        folder = out / "tiny" / name.rstrip("+*")
        folder.mkdir(parents=True)
        if name.endswith(("+", "*")):
            (folder / "manifest.json").write_text(json.dumps({"verification": {"result": "passed"}}))
        if name.endswith("*"):
            (folder / "publish-cloud.json").touch()
        folders.append(folder)
    return folders


def left(out: Path) -> list[str]:
    return sorted(path.name for path in (out / "tiny").iterdir())


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
    (tmp_path / "tiny" / "latest").symlink_to("2")

    clean.clean_builds(tmp_path / "tiny", keep=1)

    assert left(tmp_path) == ["2", "latest"]


def test_no_build_is_removed_without_the_option(tmp_path: Path) -> None:
    make_builds(tmp_path, "1", "2")

    assert clean.clean(tmp_path, cache_older_than_days=None, keep_builds=None).removed == ()
    assert left(tmp_path) == ["1", "2"]


def test_a_dead_cloud_is_removed_and_a_live_one_kept(tmp_path: Path) -> None:
    live, dead = instance.named("live"), instance.named("dead")
    dead.folder.mkdir()
    with instance.claimed(live):
        done = list(clean.clean(tmp_path, cache_older_than_days=None, keep_builds=None).removed)

        assert live.folder.exists()
    assert done == [f"removed {dead.folder}"]
    assert not dead.folder.exists()
