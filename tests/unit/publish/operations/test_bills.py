# SPDX-License-Identifier: Apache-2.0
"""Known vulnerabilities of releases, and the advisories that a release closes, by records alone."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import pytest

from goldsmith.core import documents
from goldsmith.errors import ProvenanceError, PublishError
from goldsmith.publish import publisher
from goldsmith.publish.operations import bills, release_diff
from goldsmith.publish.operations.bills import ReleaseReportsAnswer
from goldsmith.publish.operations.release_diff import ReleaseDiffsAnswer
from goldsmith.publish.publisher import Options
from goldsmith.scan import osv
from goldsmith.scan.osv import Database
from tests.support.release_site import FIRST, SECOND, Site

OLD = (("glibc", "2.41-11"), ("bash", "5.2-1"))
NEW = (("glibc", "2.41-12"), ("bash", "5.2-1"), ("zlib", "1.3-1"))


@pytest.fixture
def database(site: Site) -> Database:
    """D-glibc is fixed in 2.41-12; bash and zlib have one vulnerability each."""
    folder = site.root / "osv"
    folder.mkdir()
    for name, events in {
        "glibc": [{"introduced": "0"}, {"fixed": "2.41-12"}], "bash": [{"introduced": "0"}],
        "zlib": [{"introduced": "0"}],
    }.items():  # fmt: skip
        affected = {
            "package": {"ecosystem": "Debian:13", "name": name},
            "ranges": [{"type": "ECOSYSTEM", "events": events}],
        }  # fmt: skip
        record = {"id": f"D-{name}", "affected": [affected], "database_specific": {"severity": "HIGH"}}
        (folder / f"{name}.json").write_text(json.dumps(record))
    return osv.load(folder)


@pytest.fixture
def published(site: Site) -> Site:
    site.build(FIRST, *OLD)
    site.build(SECOND, *NEW)
    for build in (FIRST, SECOND):
        site.publish(build, "prod")
    return site


def test_a_release_is_looked_up_by_the_bill_in_its_record(published: Site, database: Database) -> None:
    answer = bills.answer(bills.ask(published.question(), database))
    before = bills.answer(bills.ask(published.question(), database, build=FIRST)).clouds["prod"]

    found = answer.clouds["prod"]
    assert (found.build_id, {f.id for f in found.report.findings}) == (SECOND, {"D-bash", "D-zlib"})
    assert {f.id for f in before.report.findings} == {"D-bash", "D-glibc"}
    data = json.loads(json.dumps(answer.as_dict()))
    jsonschema.validate(data, documents.json_schema(ReleaseReportsAnswer))
    assert answer.as_text().startswith(f"prod: {SECOND}, image ")
    bills.require(bills.ask(published.question(), database), None)
    with pytest.raises(ProvenanceError, match=r"2 known vulnerabilities are over the budget \(high\)"):
        bills.require(bills.ask(published.question(), database), "high")


def test_a_record_without_a_bill_and_one_with_another(published: Site, database: Database) -> None:
    record = published.publisher().records.get(SECOND)
    assert record is not None

    with pytest.raises(PublishError, match="the bill is not in its record"):
        bills.find(replace(record, bill=None), "the bill", database)
    with pytest.raises(ProvenanceError, match="the bill is not the one that its manifest names"):
        bills.find(replace(record, bill=f"{record.bill} "), "the bill", database)


def test_the_release_before_is_compared_with_the_advisories_that_were_closed(
    published: Site, database: Database
) -> None:
    answer = release_diff.answer(release_diff.ask(published.question(), database))

    diff = answer.clouds["prod"]
    assert (diff.old, diff.new) == (FIRST, SECOND)
    assert [change.name for change in diff.changes["packages"]] == ["glibc", "zlib"]
    assert [change.name for change in diff.changes["spec"]] == ["dib-env.DIB_X"]
    assert diff.advisories is not None
    assert [f.id for f in diff.advisories.closed] == ["D-glibc"]
    assert [f.id for f in diff.advisories.opened] == ["D-zlib"]
    assert diff.advisories.remaining == 1
    data = json.loads(json.dumps(answer.as_dict()))
    jsonschema.validate(data, documents.json_schema(ReleaseDiffsAnswer))
    text = answer.as_text()
    assert "  advisories closed (1)\n    - high D-glibc  host: glibc 2.41-11\n" in text
    assert release_diff.answer(release_diff.ask(published.question(), None)).clouds["prod"].advisories is None


def test_after_a_rollback_the_release_before_is_the_one_that_was_left(published: Site) -> None:
    published.rollback()

    diff = release_diff.answer(release_diff.ask(published.question(), None)).clouds["prod"]

    assert (diff.old, diff.new) == (SECOND, FIRST)


def test_a_first_release_has_none_before_it(site: Site) -> None:
    site.build(FIRST)
    site.publish(FIRST)

    (asked,) = release_diff.ask(site.question(), None)

    assert f"{FIRST} has the alias, and there is no known release before it" in str(asked.error)


def test_two_builds_are_compared_with_their_advisories_by_records_too(
    published: Site, database: Database
) -> None:
    away = Options(out=published.root / "nothing", clouds=("prod",))

    diff = publisher.difference("golden", away, FIRST, SECOND, database)

    assert diff.advisories is not None
    assert [f.id for f in diff.advisories.closed] == ["D-glibc"]


def test_a_build_without_a_bill_is_not_compared_by_advisories(published: Site, database: Database) -> None:
    new = published.publisher().records.get(SECOND)
    assert new is not None

    diff = release_diff.between(replace(new, bill=None), new, database)

    assert diff.advisories is None
    assert [each.what for each in diff.not_compared] == ["advisories"]
