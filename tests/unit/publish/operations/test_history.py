# SPDX-License-Identifier: Apache-2.0
"""Moves of an alias, as publications and rollbacks leave them in a cloud."""

from __future__ import annotations

import dataclasses
import json

import jsonschema
import pytest

from goldsmith.core import documents
from goldsmith.errors import PublishError, SpecError
from goldsmith.publish import publisher, release
from goldsmith.publish.operations import asking, history
from goldsmith.publish.operations.history import HistoryAnswer
from tests.support.release_site import FIRST, SECOND, Site


@pytest.fixture
def rolled_back(site: Site) -> Site:
    """Two builds were published, and the second one was rolled back from."""
    for build in (FIRST, SECOND):
        site.build(build)
        site.publish(build)
    site.clouds["prod"].user = "bob"
    site.rollback()
    return site


def test_publications_and_rollbacks_are_told_by_the_alias_alone(rolled_back: Site) -> None:
    answer = history.answer(history.ask(rolled_back.question()))

    found = answer.clouds["prod"]
    assert [(m.number, m.kind, m.build_id, m.before, m.by.user) for m in found.moves] == [
        (3, "rollback", FIRST, SECOND, "bob"),
        (2, "publish", SECOND, FIRST, "alice"),
        (1, "publish", FIRST, "", "alice"),
    ]
    assert (found.build_id, found.complete) == (FIRST, True)
    assert found.moves[0].at > found.moves[1].at
    jsonschema.validate(json.loads(json.dumps(answer.as_dict())), documents.json_schema(HistoryAnswer))
    assert f"rollback  {FIRST}" in answer.as_text()
    assert f"bob, {found.moves[0].by.login}@{found.moves[0].by.host}" in answer.as_text()


def test_the_image_itself_names_nobody(rolled_back: Site) -> None:
    """It may be public."""
    public = [image for image in rolled_back.clouds["prod"].stored.values() if image.is_ours]

    assert len(public) == 2
    assert not {image.id for image in public if "bob" in str(image) or "alice" in str(image)}


def test_a_move_by_hand_is_noticed(rolled_back: Site) -> None:
    glance = rolled_back.clouds["prod"]
    first, second = sorted((i for i in glance.stored.values() if i.is_ours), key=lambda image: image.number)
    glance.change(first.id, {"name": (None, f"mine-{FIRST}"), "os_hidden": (False, True)})
    glance.change(second.id, {"name": (None, "golden"), "os_hidden": (True, False)})

    found = history.answer(history.ask(rolled_back.question())).clouds["prod"]

    assert (found.build_id, found.complete) == (SECOND, False)
    assert found.lines()[0] == f"  not all moves were kept; {SECOND} has the alias now"


def test_releases_of_an_older_goldsmith_have_no_moves_until_the_next_one(site: Site) -> None:
    site.build(FIRST)
    site.publish(FIRST)
    glance = site.clouds["prod"]
    for image in list(glance.stored.values()):
        ours = (release.MOVE, release.SINCE, release.HISTORY)
        glance.set(image.id, properties={k: v for k, v in image.properties.items() if k not in ours})

    assert history.answer(history.ask(site.question())).clouds["prod"].lines() == ["  no moves were kept"]
    site.build(SECOND)
    site.publish(SECOND)

    (move,) = history.answer(history.ask(site.question())).clouds["prod"].moves
    assert (move.number, move.build_id, move.before) == (1, SECOND, FIRST)


def test_of_two_records_of_a_build_the_one_with_the_moves_counts(rolled_back: Site) -> None:
    """An interrupted upload can leave a second one."""
    glance = rolled_back.clouds["prod"]
    kept = next(i for i in glance.stored.values() if i.build_id == FIRST and release.RECORD_TAG in i.tags)
    bare = {key: value for key, value in kept.properties.items() if key != release.HISTORY}
    for new in ("before", "after"):
        glance.stored = {new: dataclasses.replace(kept, id=new, properties=bare), **glance.stored}
        glance.stored = dict(reversed(glance.stored.items()))

    assert len(history.answer(history.ask(rolled_back.question())).clouds["prod"].moves) == 3


def test_a_rollback_to_a_release_without_record_says_so(rolled_back: Site) -> None:
    glance = rolled_back.clouds["prod"]
    for image in list(glance.stored.values()):
        if release.RECORD_TAG in image.tags and image.build_id == SECOND:
            glance.delete(image.id)

    (done,) = rolled_back.publisher().rollback(SECOND)

    assert done.outcome is not None
    assert f"{SECOND} has no record in Glance: who moves the alias is not kept" in done.outcome.notes
    found = history.answer(history.ask(rolled_back.question())).clouds["prod"]
    assert (found.build_id, found.complete, found.moves[0].number) == (SECOND, False, 3)


def test_moves_are_kept_in_a_folder_of_records(site: Site) -> None:
    site.build(FIRST)
    kept = site.root / "records"
    publishing = site.publisher(build=FIRST)
    options = dataclasses.replace(publishing.options, records=kept)
    publisher.require(publisher.Publisher(str(site.spec), options).publish())

    question = dataclasses.replace(site.question(name=str(site.spec)), records=kept)

    assert [move.build_id for move in history.answer(history.ask(question)).clouds["prod"].moves] == [FIRST]
    assert history.answer(history.ask(site.question())).clouds["prod"].moves == ()


def test_what_no_terminal_should_get_is_escaped(rolled_back: Site) -> None:
    options = dataclasses.replace(rolled_back.publisher().options, reason="\x1b[2Jgone\nmove")
    publisher.require(publisher.Publisher("golden", options).rollback(SECOND))

    text = history.answer(history.ask(rolled_back.question())).as_text()

    assert "(\\x1b[2Jgone\\nmove)" in text
    assert "\x1b" not in text


def test_a_reason_that_is_too_long_is_refused_before_anything_is_asked(rolled_back: Site) -> None:
    options = dataclasses.replace(rolled_back.publisher().options, reason="x" * 501)

    with pytest.raises(SpecError, match="a reason has at most 500 characters, not 501"):
        publisher.Publisher("golden", options)


def test_a_cloud_that_is_away_does_not_keep_the_other_from_answering(rolled_back: Site) -> None:
    rolled_back.away.add("edge")

    asked = history.ask(rolled_back.question("edge", "prod"))

    answer = history.answer(asked)
    assert list(answer.clouds) == ["prod"]
    assert answer.errors == {"edge": "cannot use the cloud edge: no answer"}
    with pytest.raises(PublishError, match=r"1 of 2 clouds failed\n  \| edge .*no answer\n  \| prod +done"):
        publisher.require(asked)


def test_a_name_that_is_neither_spec_nor_alias(rolled_back: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OS_CLOUD", "OS_AUTH_URL"):
        monkeypatch.delenv(name, raising=False)

    (asked,) = history.ask(rolled_back.question(name="goldn"))
    assert "neither a spec nor an alias of releases called goldn" in str(asked.error)
    no_cloud = dataclasses.replace(rolled_back.question(name="goldn"), clouds=())
    with pytest.raises(SpecError, match="no spec 'goldn'") as e:
        history.ask(no_cloud)
    assert str(e.value.hint).startswith("for an alias name its cloud: --cloud NAME")


def test_a_spec_with_problems_is_not_taken_for_an_alias(site: Site) -> None:
    site.spec.write_text("name: mine\n")

    with pytest.raises(SpecError, match="missing key"):
        asking.ask_line(site.question(name=str(site.spec)), lambda here: here)
