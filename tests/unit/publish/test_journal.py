# SPDX-License-Identifier: Apache-2.0
"""What publishing is made of besides the plan: builds, records, journal, properties, bodies, notes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from goldsmith import clean
from goldsmith.errors import PublishError
from goldsmith.publish import journal
from goldsmith.publish.journal import Journal


def test_what_was_begun_and_not_ended_is_known_to_this_project_alone(build: Path) -> None:
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


def test_a_build_that_is_not_here_is_not_noted(tmp_path: Path) -> None:
    Journal(folder=tmp_path, cloud="prod", project="p1").begin("elsewhere", "i1", "word")

    assert list(tmp_path.iterdir()) == []


def test_a_rollback_that_was_broken_off_is_remembered(tmp_path: Path) -> None:
    mine = Journal(folder=tmp_path, cloud="a cloud/1", project="p1")
    assert mine.unfinished_rollback("b2") == ""
    mine.begin_rollback("b1", "b2")
    assert mine.unfinished_rollback("b2") == mine.unfinished_rollback("b1") == "b1"
    assert mine.unfinished_rollback("b3") == "", "another release was published since"
    mine.end_rollback()
    assert mine.unfinished_rollback("b2") == ""


def test_one_spec_is_published_to_one_cloud_once_at_a_time(tmp_path: Path) -> None:
    with journal.locked(tmp_path / "mine", "prod"):
        with journal.locked(tmp_path / "mine", "other"):
            pass
        with pytest.raises(PublishError, match="mine is being published by another process"):
            journal.locked(tmp_path / "mine", "prod").__enter__()
    with journal.locked(tmp_path / "mine", "prod"):
        pass
