# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith.cli import build_list
from goldsmith.cli.build_list import BuildsAnswer, ListedBuild
from goldsmith.core import build_folders, runs
from goldsmith.errors import SpecError
from goldsmith.publish.journal import EntryState, JournalEntry
from tests.support import published, samples

FIRST, SECOND, THIRD = "20261101T010203Z-0a1b2c3", "20261102T010203Z-4d5e6f7", "20261103T010203Z-nogit"


def entry(folder: Path, cloud: str, **fields: object) -> None:
    known = {"project": "p1", "build_id": folder.name, "at": "2026-11-30T01:02:03Z", **fields}
    JournalEntry(cloud=cloud, **known).write(folder / f"publish-{cloud or 'environment'}.json")  # type: ignore[arg-type]


def builds(out: Path, name: str = "") -> tuple[ListedBuild, ...]:
    (found,) = build_list.find(out, name).specs.values()
    return found


def checked(answer: BuildsAnswer) -> BuildsAnswer:
    """The answer, whose JSON is as its schema says."""
    data = json.loads(json.dumps(answer.as_dict()))
    published.check(data)
    assert BuildsAnswer.parse(data, "answer") == answer
    return answer


def test_a_build_is_listed_with_what_its_folder_says(tmp_path: Path) -> None:
    first = samples.build(tmp_path / "mine" / FIRST, dirty=True)
    entry(first, "production", state=EntryState.released, image="i1", release=7)
    entry(first, "lab", state=EntryState.begun, image="i2", run="word")
    (first / "provenance.intoto.json").touch()
    build_folders.move_latest(first)

    (found,) = checked(build_list.find(tmp_path)).specs["mine"]

    assert (found.build_id, found.verdict, found.latest, found.tests) == (FIRST, "passed", True, 9)
    assert (found.started, found.size, found.signed) == ("2026-11-01T01:02:03Z", len(samples.DISK), True)
    assert (found.commit, found.dirty, found.kubelet) == ("a" * 40, True, None)
    assert [str(each) for each in found.published] == ["lab (begun)", "production 7"]
    assert found.problems == ()


def test_builds_without_a_verdict_are_listed_too_the_newest_first(tmp_path: Path) -> None:
    samples.build(tmp_path / "mine" / FIRST, verification=samples.verdict(result="failed"))
    samples.build(tmp_path / "mine" / SECOND, verification=None)
    (tmp_path / "mine" / THIRD).mkdir()

    found = builds(tmp_path)

    assert [(each.build_id, each.verdict) for each in found] == [
        (THIRD, "unfinished"), (SECOND, "unfinished"), (FIRST, "failed"),
    ]  # fmt: skip
    assert [each.commit for each in found] == ["nogit", "a" * 40, "a" * 40]
    assert [each.size for each in found] == [None, len(samples.DISK), len(samples.DISK)]


def test_a_running_build_is_told_from_one_that_ended(tmp_path: Path) -> None:
    for build in (FIRST, SECOND):
        (tmp_path / "mine" / build).mkdir(parents=True)

    with runs.run() as run:
        (run.folder / "build").write_text(str(tmp_path / "mine" / SECOND))
        found = builds(tmp_path)

    assert [each.verdict for each in found] == ["running", "unfinished"]


def test_a_disk_image_that_is_gone_has_no_size(tmp_path: Path) -> None:
    (samples.build(tmp_path / "mine" / FIRST) / "mine-amd64.qcow2").unlink()

    assert builds(tmp_path)[0].size is None


@pytest.mark.parametrize("broken", ["{", "[]", "", '{"schema": "goldsmith.manifest", "version": 99}', "\0"])
def test_what_cannot_be_read_is_named_beside_the_others(tmp_path: Path, broken: str) -> None:
    first, second = samples.build(tmp_path / "mine" / FIRST), samples.build(tmp_path / "mine" / SECOND)
    (first / "manifest.json").write_text(broken)
    (second / "publish-lab.json").write_text(broken)

    answer = checked(build_list.find(tmp_path))

    newer, older = answer.specs["mine"]
    assert (newer.verdict, older.verdict) == ("passed", "unreadable")
    assert str(first / "manifest.json") in older.problems[0]
    assert str(second / "publish-lab.json") in newer.problems[0]
    text = answer.as_text()
    assert f"  {older.problems[0]}" in text.splitlines()
    assert FIRST in text
    assert SECOND in text


def test_what_is_no_build_is_named(tmp_path: Path) -> None:
    samples.build(tmp_path / "mine" / FIRST)
    (tmp_path / "mine" / "notes.txt").touch()
    (tmp_path / "mine" / "backup").mkdir()
    (tmp_path / "mine" / SECOND).symlink_to(FIRST)
    (tmp_path / "mine" / THIRD).touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("mine")
    for name in (".goldsmith", "test", "soak", "mine-images"):  # ours, without builds
        (tmp_path / name).mkdir()

    answer = checked(build_list.find(tmp_path))

    assert [build.build_id for build in answer.specs["mine"]] == [FIRST]
    assert answer.others.keys() == {
        "mine/notes.txt", "mine/backup", f"mine/{SECOND}", f"mine/{THIRD}", "empty", "file", "link",
    }  # fmt: skip
    assert f"no build: {tmp_path}/empty: a folder without builds" in answer.as_text().splitlines()


def test_a_folder_that_nobody_may_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples.build(tmp_path / "mine" / FIRST)
    (tmp_path / "theirs").mkdir()
    iterdir = Path.iterdir

    def guarded(path: Path) -> Iterator[Path]:
        if path.name == "theirs":
            raise PermissionError(13, "denied")
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", guarded)

    answer = build_list.find(tmp_path)

    assert answer.specs.keys() == {"mine"}
    assert answer.others == {"theirs": "it cannot be read: denied"}


def test_a_build_that_nobody_may_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for build in (FIRST, SECOND):
        samples.build(tmp_path / "mine" / build)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != FIRST)

    answer = build_list.find(tmp_path)

    assert [build.build_id for build in answer.specs["mine"]] == [SECOND]
    assert answer.others == {f"mine/{FIRST}": "it cannot be read: no permission"}


def test_builds_of_one_spec_only(tmp_path: Path) -> None:
    for name in ("mine", "other"):
        samples.build(tmp_path / name / FIRST)
    (tmp_path / "file").touch()
    (tmp_path / "without" / "any").mkdir(parents=True)

    answer = build_list.find(tmp_path, "other")

    assert answer.specs.keys() == {"other"}
    assert answer.others == {}
    with pytest.raises(SpecError, match="no builds of another in") as e:
        build_list.find(tmp_path, "another")
    assert e.value.hint == "there are builds of: mine, other"


def test_no_builds_are_no_error(tmp_path: Path) -> None:
    for out in (tmp_path / "none", tmp_path):
        answer = checked(build_list.find(out))

        assert (answer.specs, answer.as_text()) == ({}, f"no builds in {out}")
    with pytest.raises(SpecError) as e:
        build_list.find(tmp_path, "mine")
    assert str(e.value.hint).startswith("run: scripts/inv build-image mine, or")


def test_the_table_fits_the_terminal_and_wide_shows_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = samples.build(tmp_path / "mine" / FIRST, dirty=True)
    for cloud, number in (("production", 7), ("lab", 1)):
        entry(first, cloud, state=EntryState.released, image="i1", release=number)
    build_folders.move_latest(first)
    answer = build_list.find(tmp_path)
    shown = {}
    for columns in ("60", "100", "300"):
        monkeypatch.setenv("COLUMNS", columns)
        shown[columns] = answer.as_text().splitlines()
        assert max(map(len, shown[columns])) <= min(int(columns), 100)

    assert shown["300"] == shown["100"]
    assert shown["100"][1].split() == ["build", "verdict", "latest", "started", "size", "commit", "released"]
    assert re.split(r" {2,}", shown["100"][2]) == [
        FIRST, "passed", "<-", "2026-11-01 01:02", "2.3 MiB", "aaaaaaa+", "lab 1, production 7",
    ]  # fmt: skip
    assert shown["60"][1].split() == ["build", "verdict", "size", "released"]
    assert [line.strip() for line in shown["60"][2:]] == [
        f"{FIRST}  passed   2.3 MiB  lab 1,",
        "production 7",
    ]
    assert answer.as_text(wide=True).splitlines()[1].split()[-3:] == ["tests", "kubelet", "signed"]
