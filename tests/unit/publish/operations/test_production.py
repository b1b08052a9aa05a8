# SPDX-License-Identifier: Apache-2.0
"""Which build is behind each alias, in all clouds at once."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest

from goldsmith.core import documents, openstack
from goldsmith.errors import PublishError, SpecError
from goldsmith.publish import publisher
from goldsmith.publish.operations import lines, production
from goldsmith.publish.operations.production import ProductionAnswer
from tests.support.fake_glance import FakeGlance
from tests.support.release_site import FIRST, SECOND, Site


@pytest.fixture
def published(site: Site) -> Site:
    """The first build is in edge, the second one in prod."""
    for build in (FIRST, SECOND):
        site.build(build)
    site.publish(FIRST, "prod", "edge")
    site.publish(SECOND, "prod")
    return site


def test_every_alias_of_every_cloud_has_its_build_and_its_mover(published: Site) -> None:
    answer = production.answer(production.ask(["prod", "edge"], None))

    found = {cloud: [(r.alias, r.build_id, r.release) for r in rows] for cloud, rows in answer.clouds.items()}
    assert found == {"prod": [("golden", SECOND, 2)], "edge": [("golden", FIRST, 1)]}
    (row,) = answer.clouds["prod"]
    assert row.move is not None
    assert (row.since, row.move.before, row.move.by.user) == (row.move.at, FIRST, "alice")
    jsonschema.validate(json.loads(json.dumps(answer.as_dict())), documents.json_schema(ProductionAnswer))
    text = answer.as_text().splitlines()
    assert text[0] == "prod:"
    assert text[1].split() == ["alias", "build", "release", "since", "moved"]
    assert "publish by alice" in text[2]
    assert " UTC " in text[2]


def test_a_cloud_that_is_away_is_named_and_the_other_answers(published: Site) -> None:
    published.away.add("prod")

    asked = production.ask(["prod", "edge"], None)

    answer = production.answer(asked)
    assert (list(answer.clouds), list(answer.errors)) == (["edge"], ["prod"])
    with pytest.raises(PublishError, match="1 of 2 clouds failed"):
        publisher.require(asked)


def test_releases_of_another_project_are_seen_without_their_movers(published: Site) -> None:
    glance = published.clouds["prod"]
    for image in list(glance.stored.values()):
        visibility = "public" if image.is_ours else "private"
        glance.set(image.id, owner="another", visibility=visibility)

    (row,) = production.find(glance)  # type: ignore[arg-type]

    assert (row.project, row.build_id, row.move) == ("another", SECOND, None)
    assert row.since is not None


def test_an_alias_that_no_release_has_and_a_cloud_without_releases(published: Site) -> None:
    for image in list(published.clouds["edge"].stored.values()):
        published.clouds["edge"].set(image.id, hidden=True)
    published.clouds["prod"] = FakeGlance("prod")

    answer = production.answer(production.ask(["prod", "edge"], None))

    assert answer.clouds["prod"] == ()
    (row,) = answer.clouds["edge"]
    assert (row.alias, row.build_id) == ("golden", None)
    assert answer.as_text().splitlines()[1] == "  no releases"
    assert answer.as_text().splitlines()[-1] == "golden  nothing"


def test_images_of_others_are_no_releases(published: Site) -> None:
    glance = published.clouds["edge"]
    image = next(image for image in glance.stored.values() if image.is_ours)
    glance.create(
        dataclasses.replace(image, id="theirs", name="other", properties={}, tags=frozenset({"goldsmith"}))
    )

    assert len(production.find(glance)) == 1  # type: ignore[arg-type]


def test_without_a_cloud_all_of_clouds_yaml_are_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "clouds.yaml"
    file.write_text(
        "clouds:\n  b: {auth: {auth_url: http://b.test}}\n  a: {auth: {auth_url: http://a.test}}\n"
    )
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    for name in ("OS_CLOUD", "OS_AUTH_URL"):
        monkeypatch.delenv(name, raising=False)

    monkeypatch.setenv("OS_USERNAME", "alice")  # the SDK makes a cloud of such variables

    assert [cloud.name for cloud in lines.all_clouds(())] == ["a", "b"]
    assert [cloud.name for cloud in lines.all_clouds(("c",))] == ["c"]
    monkeypatch.setenv("OS_CLOUD", "b")
    assert [cloud.name for cloud in lines.all_clouds(())] == ["b"]


def test_a_machine_that_knows_no_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openstack, "cloud_names", list)
    for name in ("OS_CLOUD", "OS_AUTH_URL"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(SpecError, match="no cloud is known"):
        lines.all_clouds(())
