# SPDX-License-Identifier: Apache-2.0
"""The journal of this machine's publications."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from goldsmith import clean
from goldsmith.errors import PublishError
from goldsmith.publish import journal
from goldsmith.publish.journal import Journal, JournalEntry

DOCUMENTS = Path(__file__).parent / "documents"


def test_begun_publications_are_known_to_this_project_alone(build: Path) -> None:
    mine = Journal(folder=build.parent, cloud="prod", project="p1")
    mine.begin(build.name, "i1", "word")
    assert mine.begun() == {"word"}
    assert dataclasses.replace(mine, project="p2").begun() == frozenset()
    assert dataclasses.replace(mine, cloud="other").begun() == frozenset()

    mine.end(build.name, "i1", 4)
    assert mine.begun() == frozenset()
    assert clean.clean_builds(build.parent, keep=0) == []  # a published build is kept

    mine.forget_image("i1")
    assert not list(build.glob("publish-*"))


def test_a_build_that_is_not_here_gets_no_entry(tmp_path: Path) -> None:
    Journal(folder=tmp_path, cloud="prod", project="p1").begin("elsewhere", "i1", "word")

    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_rollback_is_remembered(tmp_path: Path) -> None:
    mine = Journal(folder=tmp_path, cloud="a cloud/1", project="p1")
    assert mine.unfinished_rollback("b2") == ""
    mine.begin_rollback("b1", "b2")
    assert mine.unfinished_rollback("b2") == mine.unfinished_rollback("b1") == "b1"
    assert mine.unfinished_rollback("b3") == "", "another release was published since"
    mine.end_rollback()
    assert mine.unfinished_rollback("b2") == ""


def old(name: str, folder: Path) -> Journal:
    """A journal with an entry as an older goldsmith wrote it: NAME-COMMIT.json of documents/."""
    text = (DOCUMENTS / f"{name}.json").read_text()
    entry = JournalEntry.parse(json.loads(text), name)
    build = folder / entry.build_id
    build.mkdir()
    is_rollback = name.startswith("rollback")
    (folder / ".rollback-prod.json" if is_rollback else build / "publish-prod.json").write_text(text)
    return Journal(folder=folder, cloud="prod", project="p1")


def test_entries_of_all_releases_of_goldsmith_are_read(tmp_path: Path) -> None:
    """The first ones had no word of the publication."""
    without_word = old("publication-begun-b73b8a2", tmp_path)
    assert without_word.begun() == frozenset()
    with_word = old("publication-begun-ee9c696", tmp_path)
    assert with_word.begun() == {"3f1b0c7a9d2e4f5b8c6d7e8f90a1b2c3"}
    with_word.forget_image("1c4a95fd-0e65-5c10-a690-3b80bbf9926c")  # both entries have it
    assert not list(tmp_path.rglob("publish-*"))


def test_a_released_entry_of_an_older_goldsmith_is_no_interrupted_publication(tmp_path: Path) -> None:
    assert old("publication-released-b73b8a2", tmp_path).begun() == frozenset()


def test_a_rollback_without_the_holder_is_resumed_only_if_the_alias_has_moved(tmp_path: Path) -> None:
    journal_ = old("rollback-b73b8a2", tmp_path)

    assert journal_.unfinished_rollback("20261124T190000Z-b73b8a2") == "20261124T190000Z-b73b8a2"
    assert journal_.unfinished_rollback("another") == ""
    assert journal_.unfinished_rollback("") == ""


def test_a_rollback_of_an_older_goldsmith_is_resumed(tmp_path: Path) -> None:
    journal_ = old("rollback-82d28e4", tmp_path)

    assert journal_.unfinished_rollback("20261123T190000Z-aaaaaaa") == "20261124T190000Z-82d28e4"


def test_numbers_of_releases_are_kept_those_of_begun_publications_are_not(build: Path) -> None:
    mine = Journal(folder=build.parent, cloud="prod", project="p1")
    mine.begin(build.name, "i7", "word")
    assert mine.released() == frozenset()

    mine.end(build.name, "i7", 7)

    assert mine.released() == {7}
    assert dataclasses.replace(mine, project="p2").released() == frozenset()


def test_an_entry_of_a_newer_goldsmith_is_refused(build: Path) -> None:
    mine = Journal(folder=build.parent, cloud="prod", project="p1")
    mine.begin(build.name, "i1", "word")
    path = build / "publish-prod.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 2}))

    with pytest.raises(PublishError, match=r"publish-prod\.json has version 2 of goldsmith\.publication"):
        mine.begun()


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": "somebody.else", "version": 9}'])
def test_a_file_that_is_no_entry_is_passed_over(build: Path, text: str) -> None:
    (build / "publish-prod.json").write_text(text)

    assert Journal(folder=build.parent, cloud="prod", project="p1").begun() == frozenset()


def test_one_spec_is_published_to_one_cloud_once_at_a_time(tmp_path: Path) -> None:
    with journal.locked(tmp_path / "mine", "prod"):
        with journal.locked(tmp_path / "mine", "other"):
            pass
        with pytest.raises(PublishError, match="another process on this machine is publishing mine"):
            journal.locked(tmp_path / "mine", "prod").__enter__()
    with journal.locked(tmp_path / "mine", "prod"):
        pass
