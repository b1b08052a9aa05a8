# SPDX-License-Identifier: Apache-2.0
"""Rollbacks as they are planned and done, by a spec or by an alias alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import jsonschema
import pytest

from goldsmith.core import documents
from goldsmith.errors import PublishError, SpecError
from goldsmith.publish import answers, publisher, release
from goldsmith.publish.answers import RollbackPlanAnswer
from goldsmith.publish.operations import asking
from goldsmith.publish.publisher import Options, Publisher
from goldsmith.publish.release import GlanceImage
from tests.support.fake_glance import FakeGlance
from tests.support.release_site import FIRST, SECOND, SPEC, Site

THIRD = "20260303T120000Z-abcdefc"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Two releases in prod."""
    tmp_path.mkdir(exist_ok=True)
    made = Site(root=tmp_path, clouds={"prod": FakeGlance("prod")})
    made.spec.write_text(SPEC)
    for module in (publisher, asking):
        monkeypatch.setattr(module, "Glance", made.glance)
    for build in (FIRST, SECOND):
        made.build(build)
        made.publish(build)
    return made


def named(site: Site) -> dict[str, GlanceImage]:
    """Releases by their names."""
    return {image.name: image for image in site.clouds["prod"].stored.values() if image.is_ours}


def test_a_plan_shows_what_a_rollback_will_do_and_changes_nothing(site: Site) -> None:
    before = dict(site.clouds["prod"].stored)

    (planned,) = site.publisher(name="golden", out="nothing").plan_rollback("")

    assert site.clouds["prod"].stored == before
    assert not (site.root / "nothing").exists()
    answer = answers.planned_rollback([planned])
    data = json.loads(json.dumps(answer.as_dict()))
    jsonschema.validate(data, documents.json_schema(RollbackPlanAnswer))
    (cloud,) = data["clouds"]
    assert [action["action"] for action in cloud["actions"]] == ["check", "history", "change", "change"]
    assert (cloud["diff"]["old"], cloud["diff"]["new"]) == (SECOND, FIRST)


def test_an_alias_is_rolled_back_without_its_spec(site: Site) -> None:
    """Names, visibility and protection stay as the spec had them."""
    glance = site.clouds["prod"]
    glance.set(named(site)["golden"].id, visibility="community", protected=True)
    options = Options(out=site.root / "nothing", clouds=("prod",), reason="pods do not start")

    (done,) = Publisher("golden", options).rollback("")

    publisher.require([done])
    found = named(site)
    assert {name: image.build_id for name, image in found.items()} == {
        "golden": FIRST, f"mine-{SECOND}": SECOND,
    }  # fmt: skip
    assert (found["golden"].visibility, found["golden"].protected) == ("community", True)
    assert done.outcome is not None
    assert done.outcome.name == f"mine-{FIRST}"
    history = next(i.properties["goldsmith_history"] for i in glance.stored.values() if i.build_id == FIRST
                   and "goldsmith_history" in i.properties)  # fmt: skip
    assert json.loads(history)[-1]["by"]["reason"] == "pods do not start"


def test_a_record_that_takes_no_move_does_not_keep_users_on_a_bad_release(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    glance = site.clouds["prod"]
    change = glance.change

    def refuse(image: str, changes: Mapping[str, tuple[object, object]]) -> None:
        if release.HISTORY in changes:
            raise PublishError("prod: Glance does not change the record: 403")
        change(image, changes)

    monkeypatch.setattr(glance, "change", refuse)

    (done,) = site.publisher().rollback("")

    assert done.outcome is not None
    assert done.outcome.notes == [
        "who moves the alias is not kept: prod: Glance does not change the record: 403"
    ]
    assert named(site)["golden"].build_id == FIRST
    site.build(THIRD)
    (failed,) = site.publisher(build=THIRD).publish()
    assert "Glance does not change the record" in str(failed.error)
    assert named(site)["golden"].build_id == FIRST
    assert f"mine-{THIRD}" not in named(site)


def test_an_alias_is_not_published_without_its_spec(site: Site) -> None:
    with pytest.raises(SpecError, match="no spec 'golden'"):
        site.publisher(name="golden").publish()


def test_an_alias_that_no_release_has_is_not_rolled_back(site: Site) -> None:
    (done,) = site.publisher(name="other").rollback("")

    assert "neither a spec nor an alias of releases called other" in str(done.error)
    (listed,) = site.publisher(name="other").images()
    assert "neither a spec nor an alias of releases called other" in str(listed.error)
