# SPDX-License-Identifier: Apache-2.0
"""Tasks that publish builds to Glance, and look at what is published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.context import Context
from invoke.tasks import task

from goldsmith.cli import common, operations
from goldsmith.cli.common import BUILD, JSON, NAME, OUT, VAR, WIDE
from goldsmith.cli.words.descriptions import Group, described

if TYPE_CHECKING:
    from goldsmith.core.documents import Document
    from goldsmith.publish.publisher import CloudResult, Options

_CLOUD = "a cloud of clouds.yaml; may be repeated; default: publish.clouds of the spec, else OS_CLOUD"
_SIGNED = {
    "signed-by": "PEM file with the public key that must have signed the build; default: the spec's",
    "accept-unsigned": "REASON to publish an unsigned build",
    "allow-older-release": "publish a build that is older than the one that has the alias",
}
_RECORD = "folder of the records of builds; default: records are kept in Glance"
_COMMON = {"name": NAME, "cloud": _CLOUD, "var": VAR, "out": OUT, "record": _RECORD, "json": JSON}


def _options(cloud: Any, var: Any, out: str, record: str, **more: Any) -> Options:
    from goldsmith.core import paths
    from goldsmith.publish.publisher import Options

    return Options(
        out=paths.out_root(out), variables=common.variables(var or ()),
        clouds=tuple(cloud or ()), records=Path(record) if record else None, **more,
    )  # fmt: skip


def _report(results: list[CloudResult], answer: Document, *, as_json: bool, changed: bool = True) -> None:
    """Print the result of every cloud; then failures decide on the exit code."""
    from goldsmith.cli import output
    from goldsmith.publish import publisher

    with common.reported():
        output.show_publications(results, answer, as_json=as_json)
        publisher.require(results, changed=changed)


@described(Group.release, "publish my-image --cloud production", 7, 8, 9)
@task(
    positional=["name"],
    iterable=["cloud", "var"],
    help={**_COMMON, **_SIGNED, "build": BUILD, "deadline": "seconds for each cloud; default: 7200"},
)
def publish(
    c: Context,
    name: Any = None,
    cloud: Any = None,
    build: str = "",
    deadline: float = 7200,
    var: Any = None,
    out: str = "",
    record: str = "",
    signed_by: str = "",
    accept_unsigned: str = "",
    allow_older_release: bool = False,
    json: bool = False,
) -> None:
    """Publish a verified build to Glance: upload, compare, test, and then move the alias to it."""
    from goldsmith.publish import answers, publisher

    with common.reported(as_json=json):
        options = _options(
            cloud, var, out, record, build=build, deadline_s=deadline,
            signed_by=Path(signed_by) if signed_by else None, accept_unsigned=accept_unsigned,
            may_be_older=allow_older_release,
        )  # fmt: skip
        results = publisher.Publisher(name, options).publish()
    _report(results, answers.published(results), as_json=json)


@described(Group.release, "plan-publish my-image --cloud production", 7, 8, 9)
@task(positional=["name"], iterable=["cloud", "var"], help={**_COMMON, **_SIGNED, "build": BUILD})
def plan_publish(
    c: Context,
    name: Any = None,
    cloud: Any = None,
    build: str = "",
    var: Any = None,
    out: str = "",
    record: str = "",
    signed_by: str = "",
    accept_unsigned: str = "",
    allow_older_release: bool = False,
    json: bool = False,
) -> None:
    """Show what publish would change in each cloud, as a diff. Changes nothing."""
    from goldsmith.publish import answers, publisher

    with common.reported(as_json=json):
        options = _options(
            cloud, var, out, record, build=build,
            signed_by=Path(signed_by) if signed_by else None, accept_unsigned=accept_unsigned,
            may_be_older=allow_older_release,
        )  # fmt: skip
        results = publisher.Publisher(name, options).plan()
    _report(results, answers.planned(results), as_json=json, changed=False)


@described(Group.release, "rollback my-image --cloud production", 7, 8)
@task(
    positional=["name"],
    iterable=["cloud", "var"],
    help={
        **_COMMON, "name": operations.LINE,
        "to": "ID of the build; default: the one that held the alias before",
        "plan": "show what a rollback would change, as a diff, and change nothing",
        "reason": "TEXT that is kept with the move of the alias",
    },
)  # fmt: skip
def rollback(
    c: Context,
    name: Any = None,
    cloud: Any = None,
    to: str = "",
    plan: bool = False,
    reason: str = "",
    var: Any = None,
    out: str = "",
    record: str = "",
    json: bool = False,
) -> None:
    """Give the alias back to the release before. Nothing is uploaded, nothing deleted."""
    from goldsmith.publish import answers, publisher

    with common.reported(as_json=json):
        options = _options(cloud, var, out, record, reason=reason)
        releases = publisher.Publisher(name, options)
        results = releases.plan_rollback(to) if plan else releases.rollback(to)
    answer = answers.planned_rollback(results) if plan else answers.rolled_back(results)
    _report(results, answer, as_json=json, changed=not plan)


@described(Group.look, "images my-image --cloud production", 7, 8)
@task(
    positional=["name"],
    iterable=["cloud", "var"],
    help={
        **_COMMON, "name": operations.LINE,
        "orphans": "list leftovers of interrupted publications, instead of releases",
        "clean": "delete the leftovers listed",
        "force": "include leftovers that another machine may just be publishing", "wide": WIDE,
    },
)  # fmt: skip
def images(
    c: Context,
    name: Any = None,
    cloud: Any = None,
    orphans: bool = False,
    clean: bool = False,
    force: bool = False,
    wide: bool = False,
    var: Any = None,
    out: str = "",
    record: str = "",
    json: bool = False,
) -> None:
    """List the releases of a spec in each cloud: their alias, use and content."""
    from goldsmith.cli import output
    from goldsmith.publish import publisher

    with common.reported(as_json=json):
        releases = publisher.Publisher(name, _options(cloud, var, out, record))
        found = releases.orphans(clean=clean, force=force) if orphans or clean else releases.images()
    with common.reported():
        if orphans or clean:
            output.show_orphans(found, cleaned=clean, as_json=json)
        else:
            output.show_images(found, as_json=json, wide=wide)
        publisher.require(found, changed=clean)


@described(Group.look, "resolve my-image --cloud production", 7, 8)
@task(
    positional=["name"],
    iterable=["var"],
    help={
        "name": operations.LINE, "var": VAR, "json": JSON,
        "cloud": "a cloud of clouds.yaml; default: OS_CLOUD",
        "build": "ID of a build: its release, whether it holds the alias or not",
        "project": "ID of the project whose releases count; default: all visible projects",
    },
)  # fmt: skip
def resolve(
    c: Context,
    name: Any = None,
    cloud: str = "",
    build: str = "",
    project: str = "",
    var: Any = None,
    json: bool = False,
) -> None:
    """Print the ID of the image that holds the alias, by the documented rule."""
    from goldsmith.publish import publisher

    with common.reported(as_json=json):
        options = _options([cloud] if cloud else [], var, "", "")
        found = publisher.Publisher(name, options).resolve(project=project, build=build)
        if json:
            common.print_document(found)
        else:
            print(found.image)


@described(Group.look, "diff 20261129T010203Z-0a1b2c3 20261130T010203Z-4d5e6f7 --name my-image", 7, 8)
@task(
    positional=["old", "new"],
    iterable=["cloud", "var"],
    help={
        "old": "ID of a build; with --previous: a spec, or the alias of a release line",
        "new": "ID of a build", "name": NAME, "out": OUT, "var": VAR, "json": JSON,
        "cloud": "a cloud that has the records of builds that are not in --out", "record": _RECORD,
        "previous": "compare the release in production with the one before it, in each cloud",
        "database": "folder or archive of OSV records: name the security advisories that differ; "
        "default: $GOLDSMITH_VULNERABILITIES",
    },
)  # fmt: skip
def diff(
    c: Context,
    old: Any = None,
    new: Any = None,
    name: str = common.DEFAULT_SPEC,
    previous: bool = False,
    database: str = "",
    cloud: Any = None,
    var: Any = None,
    out: str = "",
    record: str = "",
    json: bool = False,
) -> None:
    """Show what changed between two builds: spec, kubelet, container images, packages, elements, size."""
    from goldsmith.changes import build_diff
    from goldsmith.publish import publisher
    from goldsmith.publish.operations import release_diff

    with common.reported(as_json=json):
        _require_builds(old, new, previous=previous)
        known = operations.known_advisories(database)
        if previous:
            asked = release_diff.ask(operations.question(old or name, cloud, var, out, record), known)
    if previous:
        operations.report(asked, release_diff.answer(asked), as_json=json)
        return
    with common.reported(as_json=json):
        found = publisher.difference(name, _options(cloud, var, out, record), old, new, known)
        if json:
            answer = build_diff.answer(found)
            common.print_document(answer)
        else:
            print(found.text())


def _require_builds(old: str, new: str, *, previous: bool) -> None:
    """Raise SpecError unless there are as many builds as diff needs."""
    from goldsmith.errors import SpecError

    if previous and new:
        raise SpecError(
            f"diff --previous does not take the word {new!r}", hint="see: scripts/inv --help diff"
        )
    if not previous and not (old and new):
        missing = " and ".join(word for word, given in (("OLD", old), ("NEW", new)) if not given)
        raise SpecError(f"diff needs {missing}", hint="see: scripts/inv --help diff")
