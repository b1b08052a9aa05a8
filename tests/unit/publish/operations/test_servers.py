# SPDX-License-Identifier: Apache-2.0
"""Who uses a release."""

from __future__ import annotations

import json

import jsonschema

from goldsmith.core import documents
from goldsmith.publish.nova import Server
from goldsmith.publish.operations import servers
from goldsmith.publish.operations.servers import ServersAnswer
from tests.support.release_site import FIRST, SECOND, Site


def test_servers_are_listed_by_release_the_oldest_first(site: Site) -> None:
    for build in (FIRST, SECOND):
        site.build(build)
        site.publish(build)
    glance = site.clouds["prod"]
    old = next(i.id for i in glance.stored.values() if i.is_ours and i.build_id == FIRST)
    glance.nova.made[old] = [
        Server(id="s2", name="b", project="p", status="ACTIVE", created="2026-03-02T12:00:00Z"),
        Server(id="s1", name="a", project="p", status="ERROR", created="2026-03-01T12:00:00Z"),
    ]

    answer = servers.answer(servers.ask(site.question()))

    found = answer.clouds["prod"]
    assert [(r.build_id, r.alias, [s.id for s in r.servers]) for r in found.releases] == [
        (SECOND, True, []), (FIRST, False, ["s1", "s2"]),
    ]  # fmt: skip
    assert found.all_projects is False
    text = answer.as_text()
    assert "only the servers of this project" in text
    assert f"  {SECOND}, release 2, has the alias: 0 servers\n" in text
    jsonschema.validate(json.loads(json.dumps(answer.as_dict())), documents.json_schema(ServersAnswer))
    glance.nova.is_admin = True
    assert servers.answer(servers.ask(site.question())).clouds["prod"].all_projects is True


def test_an_image_that_is_being_published_has_no_servers(site: Site) -> None:
    site.build(FIRST)
    site.publish(FIRST)
    glance = site.clouds["prod"]
    image = next(i for i in glance.stored.values() if i.is_ours)
    glance.change(image.id, {"goldsmith_state": (None, "staged")})

    assert servers.answer(servers.ask(site.question())).clouds["prod"].releases == ()
