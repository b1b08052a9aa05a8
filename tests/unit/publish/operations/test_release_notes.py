# SPDX-License-Identifier: Apache-2.0
"""Release notes, from build folders or from records alone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest

from goldsmith.core import documents
from goldsmith.errors import PublishError, SpecError
from goldsmith.provenance import dsse
from goldsmith.publish.operations import release_notes
from goldsmith.publish.operations.asking import Question
from goldsmith.publish.operations.release_notes import ReleaseNotes
from tests.support import installed
from tests.support.release_site import FIRST, SECOND, Site

THIRD = "20260303T120000Z-abcdefc"


@pytest.fixture
def built(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Two builds; the second one has another package."""
    for name in ("OS_CLOUD", "OS_AUTH_URL"):
        monkeypatch.delenv(name, raising=False)
    site.build(FIRST, ("bash", "5.2"))
    site.build(SECOND, ("bash", "5.3|1"))
    return site


def here(site: Site, *clouds: str) -> Question:
    """On the machine with the builds."""
    question = site.question(name=str(site.spec))
    return dataclasses.replace(question, out=site.out, clouds=clouds)


def test_notes_of_a_build_compare_it_with_the_verified_one_before_it(built: Site) -> None:
    notes = release_notes.make(here(built), SECOND, since="", database=None)

    assert notes.markdown.startswith(f"# mine {SECOND}\n\n| | |\n|---|---|\n| built | 2026-03-01 ")
    assert notes.diff is not None
    assert (notes.diff.old, notes.key) == (FIRST, dsse.key_id(built.key))
    assert f"\n## Changes since {FIRST}\n" in notes.markdown
    assert "\n### packages (1)\n\n    ~ bash 5.2 -> 5.3|1\n" in notes.markdown
    assert "| verified | passed, 9 tests |" in notes.markdown
    assert "    scripts/inv rollback golden --plan" in notes.markdown
    data = json.loads(json.dumps(notes.as_dict()))
    jsonschema.validate(data, documents.json_schema(ReleaseNotes))


def test_notes_of_an_installed_goldsmith_name_its_command(
    built: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed.pretend(tmp_path / "installed", monkeypatch)

    notes = release_notes.make(here(built), SECOND, since="", database=None)

    assert "\n    goldsmith rollback golden --plan\n" in notes.markdown
    assert "scripts/inv" not in notes.markdown


def test_a_first_build_has_nothing_to_be_compared_with(built: Site) -> None:
    notes = release_notes.make(here(built), FIRST, since="", database=None)

    assert notes.diff is None
    assert "## Changes" not in notes.markdown


def test_notes_of_a_build_that_is_not_published_compare_it_with_production(built: Site) -> None:
    built.publish(FIRST)
    built.build(THIRD, ("bash", "5.4"))

    notes = release_notes.make(here(built, "prod"), THIRD, since="", database=None)

    assert notes.diff is not None
    assert (notes.diff.old, notes.diff.new) == (FIRST, THIRD)


@pytest.mark.parametrize("clouds", [("prod",), ("edge", "prod"), ("prod", "edge")])
def test_records_are_enough_and_one_cloud_that_answers(
    built: Site, clouds: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    for build in (FIRST, SECOND):
        built.publish(build)
    built.away.add("edge")

    notes = release_notes.make(built.question(*clouds), SECOND, since="", database=None)

    assert notes.diff is not None
    assert (notes.name, notes.diff.old, notes.diff.new) == ("mine", FIRST, SECOND)
    assert ("cannot use the cloud edge: no answer" in capsys.readouterr().err) is ("edge" in clouds)
    with pytest.raises(PublishError, match="cannot use the cloud edge"):
        release_notes.make(built.question("edge"), SECOND, since="", database=None)


@pytest.mark.parametrize(("build", "since"), [("b9", ""), (SECOND, "b9")])
def test_a_build_that_nobody_knows_is_named(built: Site, build: str, since: str) -> None:
    with pytest.raises(SpecError, match="there is no record of the build b9 of "):
        release_notes.make(here(built), build, since=since, database=None)


def test_an_unsigned_build_from_a_changed_checkout_says_so(built: Site) -> None:
    built.build(THIRD, signed=False, dirty=True)

    notes = release_notes.make(here(built), THIRD, since=FIRST, database=None)

    assert "| signed | no |" in notes.markdown
    assert ", with uncommitted changes |" in notes.markdown
