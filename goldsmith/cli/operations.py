# SPDX-License-Identifier: Apache-2.0
"""Tasks that answer what operators ask about releases, from the clouds alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.context import Context
from invoke.tasks import task

from goldsmith.cli import common
from goldsmith.cli.common import JSON, OUT, VAR
from goldsmith.cli.words.descriptions import Group, described

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from goldsmith.publish.operations.asking import Asked, Question
    from goldsmith.scan.osv import Database

LINE = f"a spec, or the alias of a release line; default: {common.DEFAULT_SPEC}"
CLOUD = "a cloud of clouds.yaml; may be repeated; default: publish.clouds of the spec, else OS_CLOUD"
RECORD = "folder of the records of builds; default: records are kept in Glance"
_LINE = {"name": LINE, "cloud": CLOUD, "var": VAR, "out": OUT, "record": RECORD, "json": JSON}


def question(name: str, cloud: Any, var: Any, out: str, record: str) -> Question:
    """The words of a task as a question."""
    from goldsmith.core import paths
    from goldsmith.publish.operations.asking import Question

    return Question(
        name=name, out=paths.out_root(out), variables=common.variables(var or ()), clouds=tuple(cloud or ()),
        records=Path(record) if record else None,
    )  # fmt: skip


def known_advisories(path: str) -> Database | None:
    """The database of advisories; None where neither the option nor the environment names one."""
    from goldsmith.scan import vulnerabilities

    return vulnerabilities.given_database(path) if path or vulnerabilities.database_path() else None


def report(
    asked: Sequence[Asked[Any]],
    answer: common.Answer,
    *,
    as_json: bool,
    judge: Callable[[Sequence[Asked[Any]]], None] | None = None,
) -> None:
    """Print what the clouds answered; then judge, and clouds that did not answer, decide on the exit code."""
    from goldsmith.core import progress
    from goldsmith.errors import ProvenanceError
    from goldsmith.publish import publisher
    from goldsmith.publish.operations import asking

    with common.reported(as_json=as_json):
        if as_json or asking.answers(asked):
            common.show(answer, as_json=as_json)
    with common.reported():  # standard output holds the answer already
        try:
            if judge is not None:
                judge(asked)
        except ProvenanceError:
            for each in asked:
                if each.error is not None:
                    progress.note(str(each.error))
            raise
        publisher.require(asked, changed=False)


@described(Group.look, "production --cloud production", 7, 8)
@task(
    iterable=["cloud"],
    help={
        "cloud": "a cloud of clouds.yaml; may be repeated; default: OS_CLOUD, else all of clouds.yaml",
        "record": RECORD, "json": JSON,
    },
)  # fmt: skip
def production(c: Context, cloud: Any = None, record: str = "", json: bool = False) -> None:
    """List the build behind every alias in every cloud: since when, and who moved it there."""
    from goldsmith.publish.operations import production

    with common.reported(as_json=json):
        asked = production.ask(cloud or (), Path(record) if record else None)
    report(asked, production.answer(asked), as_json=json)


@described(Group.look, "history my-image --cloud production", 7, 8)
@task(positional=["name"], iterable=["cloud", "var"], help=_LINE)
def history(
    c: Context,
    name: Any = None,
    cloud: Any = None,
    var: Any = None,
    out: str = "",
    record: str = "",
    json: bool = False,
) -> None:
    """List when the alias moved: publications and rollbacks, who moved it and from where."""
    from goldsmith.publish.operations import history

    with common.reported(as_json=json):
        asked = history.ask(question(name, cloud, var, out, record))
    report(asked, history.answer(asked), as_json=json)


@described(Group.look, "servers my-image --cloud production", 7, 8)
@task(positional=["name"], iterable=["cloud", "var"], help=_LINE)
def servers(
    c: Context,
    name: Any = None,
    cloud: Any = None,
    var: Any = None,
    out: str = "",
    record: str = "",
    json: bool = False,
) -> None:
    """List the servers that were made from each release of an alias."""
    from goldsmith.publish.operations import servers

    with common.reported(as_json=json):
        asked = servers.ask(question(name, cloud, var, out, record))
    report(asked, servers.answer(asked), as_json=json)


@described(Group.release, "release-notes 20261130T031129Z-43dd1a9 --cloud production", 7, 8, 9)
@task(
    positional=["build"],
    iterable=["cloud", "var"],
    help={
        **_LINE, "build": "ID of the build",
        "since": "ID of the build to compare with; default: the one that has the alias, or had it before; "
        "without a cloud the verified build before it in --out",
        "database": "folder or archive of OSV records: name the security advisories that differ; "
        "default: $GOLDSMITH_VULNERABILITIES",
    },
)  # fmt: skip
def release_notes(
    c: Context,
    build: str,
    name: str = common.DEFAULT_SPEC,
    cloud: Any = None,
    since: str = "",
    database: str = "",
    var: Any = None,
    out: str = "",
    record: str = "",
    json: bool = False,
) -> None:
    """Print release notes of a build in Markdown: contents, verdict, changes, advisories, way back."""
    from goldsmith.publish.operations import release_notes

    with common.reported(as_json=json):
        asked = question(name, cloud, var, out, record)
        found = release_notes.make(asked, build, since=since, database=known_advisories(database))
        common.show(found, as_json=json)
