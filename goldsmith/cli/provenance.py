# SPDX-License-Identifier: Apache-2.0
"""Tasks for locks, signatures, checks of a release, known vulnerabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from invoke.context import Context
from invoke.tasks import task

from goldsmith.cli import common, operations
from goldsmith.cli.common import BUILD, JSON, NAME, OUT, VAR
from goldsmith.cli.words.descriptions import Group, described


@described(Group.provenance, "lock my-image", 4, 9)
@task(
    positional=["name"],
    iterable=["var"],
    optional=["upgrade"],
    help={
        "name": NAME, "var": VAR, "build": BUILD, "out": OUT, "json": JSON,
        "upgrade": "parts of an existing lock that may change, separated by commas; without a value: all",
        "export": "FILE to write instead: an archive with the lock, its checkout and all that it names",
        "import": "FILE of such an archive: put its content into the cache instead",
    },
)  # fmt: skip
def lock(
    c: Context,
    name: Any = None,
    var: Any = None,
    build: str = "",
    upgrade: Any = "",
    export: str = "",
    import_: str = "",
    out: str = "",
    json: bool = False,
) -> None:
    """Write NAME.lock.yaml beside the spec, from a verified build of it; carry a lock to another machine."""
    from goldsmith.core import build_folders, paths
    from goldsmith.errors import ProvenanceError
    from goldsmith.image import finished_build
    from goldsmith.provenance import lock_transfer, spec_lock
    from goldsmith.spec import load

    with common.reported(as_json=json):
        _require_one(upgrade=upgrade, export=export, import_=import_)
        loaded = load.load(name, common.variables(var or ()))
        root = paths.out_root(out)
        if export:
            common.show(lock_transfer.export(loaded, root, Path(export), build=build), as_json=json)
            return
        if import_:
            common.show(lock_transfer.take_in(loaded, Path(import_)), as_json=json)
            return
        folder = build_folders.find_build(root, loaded.spec.name, build)
        finished_build.read(folder, error=ProvenanceError, name=loaded.spec.name)
        answer = spec_lock.lock(loaded, folder, upgrade="all" if upgrade is True else upgrade)
        common.show(answer, as_json=json)


@described(Group.provenance, "outdated my-image", 4, 9)
@task(
    positional=["name"],
    iterable=["var"],
    help={"name": NAME, "var": VAR, "json": JSON},
)
def outdated(c: Context, name: Any = None, var: Any = None, json: bool = False) -> None:
    """List what an upgrade of NAME.lock.yaml would change, and locked packages that are gone."""
    from goldsmith.provenance import outdated
    from goldsmith.spec import load

    with common.reported(as_json=json):
        common.show(outdated.find(load.load(name, common.variables(var or ()))), as_json=json)


@described(Group.provenance, "sign my-image --key release.pem", 9)
@task(
    positional=["name"],
    help={
        "name": NAME,
        "key": "PEM file with the private key; its passphrase: $GOLDSMITH_KEY_PASSPHRASE, else a prompt",
        "build": BUILD,
        "out": OUT,
        "builder": "URI of who or what built the image; default: $GOLDSMITH_BUILDER",
        "accept-dirty": "REASON to sign a build of a checkout with uncommitted changes; it is signed too",
        "certificate": "UUID of the key's certificate in the cloud: also make OpenStack's image signature",
        "json": JSON,
    },
)
def sign(
    c: Context,
    name: Any = None,
    key: str = "",
    build: str = "",
    out: str = "",
    builder: str = "",
    accept_dirty: str = "",
    certificate: str = "",
    json: bool = False,
) -> None:
    """Sign a verified build: an in-toto statement with SLSA provenance over all of its files."""
    from goldsmith.core import paths
    from goldsmith.provenance import attestation

    with common.reported(as_json=json):
        done = attestation.sign_build(
            paths.out_root(out), name, build,
            Path(key) if key else None,
            builder=builder, accepted=accept_dirty, certificate=certificate,
        )  # fmt: skip
        common.show(done, as_json=json)


@described(Group.provenance, "known-vulnerabilities my-image --database osv", 9)
@task(
    positional=["name"],
    iterable=["cloud", "var"],
    help={
        "name": "a spec, whose latest build is used, or the file of a bill of materials; with --release also "
        "the alias of a release line; default: debian-kubelet",
        "database": "folder or archive of OSV records; default: $GOLDSMITH_VULNERABILITIES",
        "fail-on": "low, medium, high or critical, each also with -fixable: exit code 9 if there are any",
        "release": "look up the release in production, by its record in each cloud",
        "build": "ID of the build; default: the latest verified one, with --release: the one with the alias",
        "cloud": f"with --release: {operations.CLOUD}",
        "record": f"with --release: {operations.RECORD}",
        "out": OUT, "var": VAR, "json": JSON,
    },
)  # fmt: skip
def known_vulnerabilities(
    c: Context,
    name: Any = None,
    database: str = "",
    fail_on: str = "",
    release: bool = False,
    build: str = "",
    cloud: Any = None,
    record: str = "",
    var: Any = None,
    out: str = "",
    json: bool = False,
) -> None:
    """Look up the known vulnerabilities of a build, of a release, or of a bill of materials."""
    from goldsmith.core import paths
    from goldsmith.publish.operations import bills
    from goldsmith.scan import vulnerabilities

    with common.reported(as_json=json):
        _require_release(release, cloud=cloud, record=record, var=var)
        if release:
            found = vulnerabilities.given_database(database, fail_on)
            asked = bills.ask(operations.question(name, cloud, var, out, record), found, build=build)
    if release:
        operations.report(
            asked, bills.answer(asked), as_json=json, judge=lambda each: bills.require(each, fail_on or None)
        )
        return
    with common.reported(as_json=json):
        root = paths.out_root(out)
        report = vulnerabilities.look_up(name, root, build, database=database, budget=fail_on)
        common.show(report, as_json=json)
    with common.reported():  # standard output holds the answer already
        vulnerabilities.require(report, fail_on or None)


@described(Group.provenance, "verify-release my-image-amd64.qcow2 --key release.pub", 9)
@task(
    iterable=["cloud", "var"],
    help={
        "release": "a release's disk image, or the folder that holds its files; with --cloud: a spec, or the "
        "alias of a release line",
        "key": "PEM file with the public key of the signer",
        "statement": "the signed statement; default: provenance.intoto.json beside the files",
        "cloud": "a cloud of clouds.yaml: check the release there, without files; may be repeated",
        "build": "with --cloud: ID of the build; default: the one that has the alias",
        "download": "with --cloud: download the image and hash it, instead of trusting Glance's hash",
        "var": VAR, "record": operations.RECORD, "json": JSON,
    },
)  # fmt: skip
def verify_release(
    c: Context,
    release: str,
    key: str,
    statement: str = "",
    cloud: Any = None,
    build: str = "",
    download: bool = False,
    var: Any = None,
    record: str = "",
    json: bool = False,
) -> None:
    """Check a release with its files, or in a cloud, and a public key: signature, hashes, verdict."""
    from goldsmith.provenance import dsse, release_check

    with common.reported(as_json=json):
        _require_with_cloud(cloud, statement=statement, build=build, download=download, record=record)
        if cloud:
            from goldsmith.publish.operations import signatures

            question = operations.question(release, cloud, var, "", record)
            public = dsse.public_key(Path(key))
            asked = signatures.ask(question, public, build=build, download=download)
    if cloud:
        operations.report(asked, signatures.answer(asked), as_json=json, judge=signatures.require)
        return
    with common.reported(as_json=json):
        signed = Path(statement) if statement else None
        report = release_check.check(Path(release), dsse.public_key(Path(key)), signed=signed)
        common.show(report, as_json=json)
    with common.reported():  # standard output holds the answer already
        report.require()


def _require_with_cloud(cloud: Any, *, statement: str, **words: Any) -> None:
    """Raise SpecError for options that do not go with --cloud, or need it."""
    from goldsmith.errors import SpecError

    if cloud and statement:
        raise SpecError(
            "--statement and --cloud do not go together", hint="drop --statement: the record has it"
        )
    given = [f"--{name}" for name, value in words.items() if value]
    if given and not cloud:
        raise SpecError(f"{' and '.join(given)} needs a cloud", hint="add --cloud NAME")


def _require_release(is_release: bool, **words: Any) -> None:
    """Raise SpecError for options that need --release."""
    from goldsmith.errors import SpecError

    given = [f"--{name}" for name, value in words.items() if value]
    if given and not is_release:
        raise SpecError(f"{' and '.join(given)} needs a release", hint="add --release")


def _require_one(**words: Any) -> None:
    """Raise SpecError if several of the options are given."""
    from goldsmith.errors import SpecError

    given = [f"--{name.rstrip('_')}" for name, value in words.items() if value]
    if len(given) > 1:
        raise SpecError(f"{' and '.join(given)} do not go together", hint="run lock once for each")
