# SPDX-License-Identifier: Apache-2.0
"""The tasks around provenance, for tasks.py. They hold no logic either."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from invoke.context import Context
from invoke.tasks import task

from goldsmith import cli

_JSON = "answer with JSON on standard output"


@task(
    positional=["name"],
    help={
        "name": "NAME of a spec; default: debian-kubelet",
        "key": "PEM file with the private key; its passphrase: $GOLDSMITH_KEY_PASSPHRASE, or asked for",
        "build": "ID of the build; default: the latest verified one",
        "out": "folder where builds are; default: $GOLDSMITH_OUT, else out/",
        "builder": "URI that says who built it; default: $GOLDSMITH_BUILDER",
        "accept-dirty": "REASON to sign a build from a checkout with uncommitted changes; it is signed too",
        "certificate": "UUID of the key's certificate in the cloud: show OpenStack's image signature",
        "json": _JSON,
    },
)
def sign(
    c: Context,
    key: str,
    name: Any = None,
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
            Path(out).absolute() if out else workspace.out_root(), name, build, Path(key),
            builder=builder, accepted=accept_dirty, certificate=certificate,
        )  # fmt: skip
        if json:
            cli.print_json("goldsmith.signed", done.as_dict())
        else:
            print(done.as_text())


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
