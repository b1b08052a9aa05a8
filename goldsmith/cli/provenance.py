# SPDX-License-Identifier: Apache-2.0
"""Tasks for locks, signatures, checks of a release, known vulnerabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from invoke.context import Context
from invoke.tasks import task

from goldsmith.cli import common
from goldsmith.cli.common import BUILD, JSON, NAME, OUT, VAR


@task(
    positional=["name"],
    iterable=["var"],
    optional=["upgrade"],
    help={
        "name": NAME, "var": VAR, "build": BUILD, "out": OUT, "json": JSON,
        "upgrade": "which parts of an existing lock may change, with commas between; alone: all",
    },
)  # fmt: skip
def lock(
    c: Context,
    name: Any = None,
    var: Any = None,
    build: str = "",
    upgrade: Any = "",
    out: str = "",
    json: bool = False,
) -> None:
    """Write NAME.lock.yaml beside the spec: what a verified build of it turned out to be made of."""
    from goldsmith.cli import output
    from goldsmith.core import builds, paths
    from goldsmith.errors import ProvenanceError
    from goldsmith.image import finished_build
    from goldsmith.provenance import spec_lock
    from goldsmith.spec import load

    with common.reported(as_json=json):
        loaded = load.load(name, common.variables(var or ()))
        root = paths.out_root(out)
        folder = builds.find_build(root, loaded.spec.name, build)
        finished_build.read(folder, error=ProvenanceError, name=loaded.spec.name)
        path, moved = spec_lock.lock(loaded, folder, upgrade="all" if upgrade is True else upgrade)
        output.show_moves(moved, "goldsmith.locked", as_json=json, path=str(path))


@task(
    positional=["name"],
    iterable=["var"],
    help={"name": NAME, "var": VAR, "json": JSON},
)
def outdated(c: Context, name: Any = None, var: Any = None, json: bool = False) -> None:
    """Show what an upgrade of NAME.lock.yaml would bring, and which locked packages are gone."""
    from goldsmith.cli import output
    from goldsmith.provenance import outdated
    from goldsmith.spec import load

    with common.reported(as_json=json):
        moved = outdated.find(load.load(name, common.variables(var or ())))
        output.show_moves(moved, "goldsmith.outdated", as_json=json)


@task(
    positional=["name"],
    help={
        "name": NAME,
        "key": "PEM file with the private key; its passphrase: $GOLDSMITH_KEY_PASSPHRASE, or asked for",
        "build": BUILD,
        "out": OUT,
        "builder": "URI that says who built it; default: $GOLDSMITH_BUILDER",
        "accept-dirty": "REASON to sign a build from a checkout with uncommitted changes; it is signed too",
        "certificate": "UUID of the key's certificate in the cloud: make OpenStack's image signature",
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
        if json:
            common.print_json("goldsmith.signed", done.as_dict())
        else:
            print(done.as_text())


@task(
    positional=["name"],
    help={
        "name": "a spec whose latest build is looked at, or the file of a bill of materials; "
        "default: debian-kubelet",
        "database": "folder or archive of OSV records; default: $GOLDSMITH_VULNERABILITIES",
        "fail-on": "low, medium, high or critical, each also with -fixable: end with 9 where there are such",
        "build": BUILD,
        "out": OUT,
        "json": JSON,
    },
)
def known_vulnerabilities(
    c: Context,
    name: Any = None,
    database: str = "",
    fail_on: str = "",
    build: str = "",
    out: str = "",
    json: bool = False,
) -> None:
    """Look up the known vulnerabilities of a build, or of any bill of materials of ours."""
    from goldsmith.core import paths
    from goldsmith.scan import vulnerabilities

    with common.reported(as_json=json):
        root = paths.out_root(out)
        report = vulnerabilities.look_up(name, root, build, database=database, budget=fail_on)
        if json:
            common.print_json("goldsmith.vulnerabilities", report.as_dict())
        else:
            print(report.as_text())
        vulnerabilities.require(report, fail_on or None)


@task(
    help={
        "release": "a release's disk image, or the folder that holds its files",
        "key": "PEM file with the public key of who is to have signed it",
        "statement": "the signed statement; default: provenance.intoto.json beside the files",
        "json": JSON,
    },
)
def verify_release(c: Context, release: str, key: str, statement: str = "", json: bool = False) -> None:
    """Check a release by its files and a public key alone: signature, hashes, manifest, verdict."""
    from goldsmith.provenance import dsse, release_check

    with common.reported(as_json=json):
        signed = Path(statement) if statement else None
        report = release_check.check(Path(release), dsse.public_key(Path(key)), signed=signed)
        if json:
            common.print_json("goldsmith.release-check", report.as_dict())
        else:
            print(report.as_text())
        report.require()
