# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.core import ownership
from goldsmith.core.ownership import Cleaned


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    folder = tmp_path / "ours"
    folder.mkdir(mode=0o700)
    ownership.mark(folder, "run")
    return folder


def test_a_marked_folder_of_ours_is_ours(ours: Path) -> None:
    ownership.mark(ours, "run")  # again

    assert ownership.is_ours(ours, "run")
    assert not ownership.is_ours(ours, "cloud")


def link_marker(folder: Path) -> None:
    marker = folder / ownership.FILE
    marker.rename(folder / "elsewhere")
    marker.symlink_to("elsewhere")


CHANGES: dict[str, Callable[[Path], object]] = {
    "no marker": lambda folder: (folder / ownership.FILE).unlink(),
    "another text": lambda folder: (folder / ownership.FILE).write_text("run\n"),
    "no text": lambda folder: (folder / ownership.FILE).write_bytes(b"\xff"),
    "a link as marker": link_marker,
    "writable for all": lambda folder: folder.chmod(0o777),
    "writable for a group": lambda folder: folder.chmod(0o770),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_folder_without_proof_is_not_ours(ours: Path, change: Callable[[Path], object]) -> None:
    change(ours)

    assert not ownership.is_ours(ours, "run")


def test_a_folder_of_another_user_and_a_link_are_not_ours(
    ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(ours)
    assert not ownership.is_ours(tmp_path / "link", "run")

    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert not ownership.is_ours(ours, "run")


def is_known(path: Path) -> bool:
    return path.name.startswith("known")


def test_a_root_with_known_entries_alone_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "known-1").mkdir()

    assert ownership.claim_root(tmp_path, "cache", is_known) == ""
    (tmp_path / "later").mkdir()
    assert ownership.claim_root(tmp_path, "cache", is_known) == ""
    assert ownership.is_marked(tmp_path, "cache")


def test_a_root_that_others_use_is_left_alone(tmp_path: Path) -> None:
    for name in ("known-1", *"abcdef"):
        (tmp_path / name).mkdir()

    assert ownership.claim_root(tmp_path, "cache", is_known) == "it also holds a, b, c, d, e, ..."
    assert not ownership.is_marked(tmp_path, "cache")


def test_a_marker_of_another_user_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ownership.mark(tmp_path, "cache")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    assert "marked by another user" in ownership.claim_root(tmp_path, "cache", is_known)


def test_a_marker_for_another_use_is_none(tmp_path: Path) -> None:
    ownership.mark(tmp_path, "cache")

    assert "for another use" in ownership.claim_root(tmp_path, "out", is_known)


def test_a_root_that_everybody_may_write_to_is_left_alone(tmp_path: Path) -> None:
    ownership.mark(tmp_path, "cache")
    tmp_path.chmod(0o777)

    assert ownership.claim_root(tmp_path, "cache", is_known) == "everybody may write to it"


def test_what_cannot_be_read_is_somebody_elses(tmp_path: Path) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError

    (tmp_path / "lost+found").mkdir()

    assert ownership.claim_root(tmp_path, "out", refuse) == "it also holds lost+found"


def test_a_marker_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_words: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(OSError, match="No space"):
        ownership.mark(tmp_path, "run")

    assert list(tmp_path.iterdir()) == []


def test_a_root_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert ownership.claim_root(tmp_path / "nothing", "out", is_known) == ""


def test_a_shared_root_is_named_with_the_reason_and_the_setting() -> None:
    line = ownership.shared(Path("/c"), "it also holds a", "GOLDSMITH_CACHE")

    assert (
        line == "/c: nothing in it was removed: it also holds a; set GOLDSMITH_CACHE to a folder of its own"
    )


def test_results_of_clean_ups_are_added() -> None:
    done = Cleaned(removed=["a"])
    done += Cleaned(removed=["b"], left=["c"])

    assert done == Cleaned(removed=["a", "b"], left=["c"])
