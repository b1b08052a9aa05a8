# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import datetime
import types
from pathlib import Path

import pytest

from goldsmith.core import build_folders
from goldsmith.errors import HostError, SpecError


@pytest.fixture
def build(tmp_path: Path) -> Path:
    folder = tmp_path / "out" / "tiny" / "20260101T000000Z-abc"
    folder.mkdir(parents=True)
    return folder


def test_a_missing_build_has_a_hint_about_those_that_are_there(tmp_path: Path) -> None:
    failed = tmp_path / "mine/20261128T000000Z-abc"
    failed.mkdir(parents=True)

    with pytest.raises(SpecError) as none_verified:
        build_folders.find_build(tmp_path, "mine")
    verified = tmp_path / "mine/20261129T000000Z-abc"
    verified.mkdir()
    (verified / "manifest.json").write_text('{"verification": {"result": "passed"}}')
    with pytest.raises(SpecError) as another:
        build_folders.find_build(tmp_path, "mine", "20261127T000000Z-abc")

    assert str(none_verified.value.hint).endswith(f"the newest build was not verified, see {failed}")
    assert another.value.hint == f"there are: {verified.name}"


def test_two_builds_of_one_second_get_two_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([1, 1, 2])  # the second build looks again
    now = types.SimpleNamespace(
        now=lambda zone: datetime.datetime(2026, 1, 1, 0, 0, next(seconds), tzinfo=zone)
    )
    monkeypatch.setattr(build_folders, "datetime", types.SimpleNamespace(datetime=now, UTC=datetime.UTC))
    monkeypatch.setattr(build_folders, "time", types.SimpleNamespace(sleep=lambda _: None))

    names = [build_folders.new_build_folder(tmp_path, "tiny", "abc1234").name for _ in range(2)]

    assert names == ["20260101T000001Z-abc1234", "20260101T000002Z-abc1234"]
    assert sorted(path.name for path in (tmp_path / "tiny").iterdir()) == names


def test_an_output_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").touch()

    with pytest.raises(HostError, match="cannot write to") as e:
        build_folders.new_build_folder(tmp_path / "out", "tiny", "abc1234")

    assert "--out" in (e.value.hint or "")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"verification": null}', '{"verification": {"result": "failed"}}']
)
def test_build_without_a_good_verdict_is_not_verified(build: Path, text: str) -> None:
    (build / "manifest.json").write_text(text)

    assert not build_folders.is_verified(build)


def test_a_missing_build_is_reported_with_the_next_command(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no verified build of mine") as caught:
        build_folders.find_build(tmp_path, "mine")
    assert str(caught.value.hint).startswith("run: scripts/inv build-image mine, or set GOLDSMITH_OUT")
