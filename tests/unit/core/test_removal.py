# SPDX-License-Identifier: Apache-2.0
"""What is mounted in a folder is tried in tests/host_safety, in a mount namespace."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.core import removal
from tests.support import fakes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    (made / "deep/deeper").mkdir(parents=True)
    (made / "deep/deeper/file").touch()
    (made / ".hidden").touch()
    return made


def test_a_folder_is_removed_with_all_that_is_in_it(folder: Path) -> None:
    assert removal.remove_tree(folder)
    assert not folder.exists()


def test_links_are_removed_and_not_followed(folder: Path, tmp_path: Path) -> None:
    guard = tmp_path / "guard"
    guard.mkdir()
    (guard / "file").touch()
    (folder / "link").symlink_to(guard)
    (folder / "deep/dangling").symlink_to("nowhere")

    assert removal.remove_tree(folder)
    assert (guard / "file").exists()


def test_a_link_in_place_of_the_folder_is_removed_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)

    assert removal.remove_tree(tmp_path / "link")
    assert (folder / "deep/deeper/file").exists()


def test_a_file_is_removed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert removal.remove_tree(tmp_path / "file")


@pytest.mark.parametrize("name", ["nothing", "no/folder"])
def test_what_is_not_there_is_gone(tmp_path: Path, name: str) -> None:
    assert removal.remove_tree(tmp_path / name)


def test_what_is_on_another_mount_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted = (folder / "deep").stat().st_ino
    monkeypatch.setattr(removal, "_mount_of", lambda fd: "2" if os.fstat(fd).st_ino == mounted else "1")

    assert not removal.remove_tree(folder)
    assert [path.name for path in folder.iterdir()] == ["deep"]
    assert (folder / "deep/deeper/file").exists()


def test_what_says_whose_a_folder_is_goes_last(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise what is left could never be removed."""
    for name in ("lock", ".goldsmith"):
        (folder / name).touch()
    mounted = (folder / "deep").stat().st_ino
    monkeypatch.setattr(removal, "_mount_of", lambda fd: "2" if os.fstat(fd).st_ino == mounted else "1")

    assert not removal.remove_tree(folder)
    assert sorted(path.name for path in folder.iterdir()) == [".goldsmith", "deep", "lock"]


@pytest.mark.parametrize("has_sudo", [True, False])
def test_an_ordinary_user_asks_sudo_for_what_is_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch, fake: Callable[..., Path], has_sudo: bool
) -> None:
    calls = fake("sudo", fakes.SUDO if has_sudo else "exit 1")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(removal, "remove_tree", lambda folder: False)

    assert removal.remove_tree_as_root(folder) is has_sudo
    assert f"-m goldsmith.core.removal {folder}" in calls.read_text()
