# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.core import build_folders, files
from goldsmith.errors import BuildError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "out" / "mine" / "20260101T000000Z-abc"
    path.mkdir(parents=True)
    return path


def verified(folder: Path, result: str = "passed") -> Path:
    folder.mkdir(exist_ok=True)
    files.write_json(folder / "manifest.json", {"verification": {"result": result}})
    return folder


def test_latest_moves_to_a_verified_build(folder: Path) -> None:
    assert build_folders.move_latest(verified(folder))

    assert (folder.parent / "latest").readlink() == Path(folder.name)
    assert (folder.parent / "latest" / "manifest.json").exists()


@pytest.mark.parametrize("result", ["failed", "", "PASSED"])
def test_latest_never_moves_to_another(folder: Path, result: str) -> None:
    with pytest.raises(BuildError, match="not verified"):
        build_folders.move_latest(verified(folder, result))

    assert not (folder.parent / "latest").is_symlink()


def test_latest_never_moves_back(folder: Path) -> None:
    newer = verified(folder.with_name("20270101T000000Z-abc"))
    build_folders.move_latest(newer)

    assert not build_folders.move_latest(verified(folder))

    assert (folder.parent / "latest").readlink() == Path(newer.name)


def test_latest_moves_on_from_a_build_that_is_gone(folder: Path) -> None:
    (folder.parent / "latest").symlink_to("20990101T000000Z-gone")
    (folder.parent / ".latest.new").symlink_to("left over")

    assert build_folders.move_latest(verified(folder))

    assert (folder.parent / "latest").readlink() == Path(folder.name)
