# SPDX-License-Identifier: Apache-2.0
"""The tasks around provenance, for tasks.py. They hold no logic either."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from invoke.context import Context
from invoke.tasks import task

from goldsmith import cli

_NAME = "a spec: NAME of image-specs/NAME.yaml.j2, or a path; default: debian-kubelet"
_VAR = "NAME=VALUE, a variable of the spec; may be repeated"
_BUILD = "ID of the build; default: the latest verified one"
_OUT = "folder where builds are; default: $GOLDSMITH_OUT, else out/"
_JSON = "answer with JSON on standard output"


@task(
    positional=["name"],
    iterable=["var"],
    optional=["upgrade"],
    help={
        "name": _NAME, "var": _VAR, "build": _BUILD, "out": _OUT, "json": _JSON,
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
    from goldsmith import buildrecord, lockroad, provenancereport, specfile, workspace
    from goldsmith.errors import ProvenanceError

    with cli.reported(as_json=json):
        loaded = specfile.load(name, cli.variables(var or ()))
        root = workspace.out_root(out)
        folder = workspace.find_build(root, loaded.spec.name, build)
        buildrecord.read(folder, error=ProvenanceError, name=loaded.spec.name)
        path, moved = lockroad.lock(loaded, folder, upgrade="all" if upgrade is True else upgrade)
        provenancereport.show_moves(moved, "goldsmith.locked", as_json=json, path=str(path))


@task(
    positional=["name"],
    iterable=["var"],
    help={"name": _NAME, "var": _VAR, "json": _JSON},
)
def outdated(c: Context, name: Any = None, var: Any = None, json: bool = False) -> None:
    """Show what an upgrade of NAME.lock.yaml would bring, and which locked packages are gone."""
    from goldsmith import outdated as road
    from goldsmith import provenancereport, specfile

    with cli.reported(as_json=json):
        moved = road.find(specfile.load(name, cli.variables(var or ())))
        provenancereport.show_moves(moved, "goldsmith.outdated", as_json=json)


@task(
    positional=["name"],
    help={
        "name": _NAME,
        "key": "PEM file with the private key; its passphrase: $GOLDSMITH_KEY_PASSPHRASE, or asked for",
        "build": _BUILD,
        "out": _OUT,
        "builder": "URI that says who built it; default: $GOLDSMITH_BUILDER",
        "accept-dirty": "REASON to sign a build from a checkout with uncommitted changes; it is signed too",
        "certificate": "UUID of the key's certificate in the cloud: make OpenStack's image signature",
        "json": _JSON,
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
    from goldsmith import signoff, workspace

    with cli.reported(as_json=json):
        done = signoff.sign(
            workspace.out_root(out), name, build,
            Path(key) if key else None,
            builder=builder, accepted=accept_dirty, certificate=certificate,
        )  # fmt: skip
        if json:
            cli.print_json("goldsmith.signed", done.as_dict())
        else:
            print(done.as_text())


@task(
    positional=["name"],
    help={
        "name": "a spec whose latest build is looked at, or the file of a bill of materials; "
        "default: debian-kubelet",
        "database": "folder or archive of OSV records; default: $GOLDSMITH_VULNERABILITIES",
        "fail-on": "low, medium, high or critical, each also with -fixable: end with 9 where there are such",
        "build": _BUILD,
        "out": _OUT,
        "json": _JSON,
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
    from goldsmith import lookup, vulnerabilities, workspace

    with cli.reported(as_json=json):
        root = workspace.out_root(out)
        report = lookup.look_up(name, root, build, database=database, budget=fail_on)
        if json:
            cli.print_json("goldsmith.vulnerabilities", report.as_dict())
        else:
            print(report.as_text())
        vulnerabilities.require(report, fail_on or None)


@task(
    help={
        "release": "a release's disk image, or the folder that holds its files",
        "key": "PEM file with the public key of who is to have signed it",
        "statement": "the signed statement; default: provenance.intoto.json beside the files",
        "json": _JSON,
    },
)
def verify_release(c: Context, release: str, key: str, statement: str = "", json: bool = False) -> None:
    """Check a release by its files and a public key alone: signature, hashes, manifest, verdict."""
    from goldsmith import attestation, signing

    with cli.reported(as_json=json):
        signed = Path(statement) if statement else None
        report = attestation.check(Path(release), signing.public_key(Path(key)), signed=signed)
        if json:
            cli.print_json("goldsmith.release-check", report.as_dict())
        else:
            print(report.as_text())
        report.require()
