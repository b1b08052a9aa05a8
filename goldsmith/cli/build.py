# SPDX-License-Identifier: Apache-2.0
"""Tasks that build, verify and look at images, and look after this host."""

from __future__ import annotations

import sys
from json import dumps
from pathlib import Path
from typing import Any

from invoke.context import Context
from invoke.tasks import task

from goldsmith.cli import common
from goldsmith.cli.common import JSON, NAME, OUT, VAR

_REFRESH = "look for new packages even if the cache is fresh, and rebuild the container images"


@task(
    positional=["name"],
    iterable=["var"],
    help={
        "name": NAME, "var": VAR, "out": OUT, "json": JSON, "refresh": _REFRESH,
        "keep": "keep the disk image of a build that fails, for --from and for looking at it",
        "locked": "build what NAME.lock.yaml has, and fail where anything else has moved",
        "from": "go on with a kept failed build from its finished image: boot or verify",
    },
)  # fmt: skip
def build_image(
    c: Context,
    name: Any = None,
    var: Any = None,
    keep: bool = False,
    from_: str = "spec",
    refresh: bool = False,
    locked: bool = False,
    out: str = "",
    json: bool = False,
) -> None:
    """Build, boot and verify an image; leave it in out/NAME/, latest pointing to it. Publishes nothing."""
    from goldsmith import pipeline
    from goldsmith.cli import output
    from goldsmith.core import paths

    with common.reported(as_json=json):
        options = pipeline.Options(
            variables=common.variables(var or ()), out=paths.out_root(out), keep=keep, refresh=refresh,
            start=from_, locked=locked,
        )  # fmt: skip
        result = pipeline.build(name, options)
        output.show(result)
        if json:
            common.print_document(result)
        else:
            print(result.image)


@task(positional=["name"], iterable=["var"], help={"name": NAME, "var": VAR})
def render(c: Context, name: Any = None, var: Any = None) -> None:
    """Print a spec as YAML, rendered and checked."""
    from goldsmith.spec import load

    with common.reported():
        sys.stdout.write(load.load(name, common.variables(var or ())).rendered)


@task(positional=["name"], iterable=["var"], help={"name": NAME, "var": VAR, "json": JSON})
def plan(c: Context, name: Any = None, var: Any = None, json: bool = False) -> None:
    """Print what a build would call. Touches nothing, asks the host nothing."""
    from goldsmith.cli import output
    from goldsmith.cli.answers import PlanAnswer
    from goldsmith.image import prepare

    with common.reported(as_json=json):
        loaded, dib_plan = prepare.plan(name, common.variables(var or ()))
        answer = PlanAnswer.of(loaded, dib_plan)
        if json:
            common.print_document(answer)
        else:
            sys.stdout.write(output.plan_as_text(answer))


@task(
    positional=["name"],
    iterable=["var"],
    help={
        "name": NAME, "var": VAR, "json": JSON, "refresh": _REFRESH,
        "out": "folder for bundle.tar and images.lock.json; default: out/NAME-images",
    },
)  # fmt: skip
def export_images(
    c: Context, name: Any = None, var: Any = None, out: str = "", refresh: bool = False, json: bool = False
) -> None:
    """Write a spec's container images into one OCI archive, with its lock beside it."""
    from goldsmith.cli.answers import BundleAnswer
    from goldsmith.containers import bundler
    from goldsmith.core import paths

    with common.reported(as_json=json):
        target = Path(out) if out else paths.out_root() / f"{Path(name).name}-images"
        bundle = bundler.export_images(name, common.variables(var or ()), target, refresh=refresh)
        if json:
            common.print_document(BundleAnswer.of(bundle))
        else:
            print(bundle.path)


@task(
    iterable=["tests"],
    help={
        "file": "the disk image, qcow2 or raw; it is not written to",
        "manifest": "manifest.json to hold it against; default: what the image itself says it is",
        "out": "folder for junit.xml and console.log; default: verify-FILE beside the current folder",
        "tests": "a folder with further pytest-testinfra suites; may be repeated",
        "fail_fast": "end at the first phase in which a test fails: sealed, booted, rebooted, collected",
        "json": JSON,
    },
)  # fmt: skip
def verify_image(
    c: Context,
    file: str,
    manifest: str = "",
    out: str = "",
    tests: Any = None,
    fail_fast: bool = False,
    json: bool = False,
) -> None:
    """Prove a disk image in a throw-away VM with the network cut, also one that was not built here."""
    from goldsmith.cli import output
    from goldsmith.image.verdict import VerdictAnswer
    from goldsmith.verify import session

    with common.reported(as_json=json):
        target = Path(out) if out else Path(f"verify-{Path(file).stem}")
        verdict = session.verify_file(
            Path(file),
            manifest=Path(manifest) if manifest else None,
            out=target,
            tests=[Path(t) for t in tests or ()],
            fail_fast=fail_fast,
        )
        if json:
            common.print_document(VerdictAnswer.of(verdict))
        else:
            print(output.verdict_as_text(verdict))
    with common.reported():  # standard output holds the answer already
        verdict.require(target)


@task(
    positional=["name"],
    help={"name": "a spec's NAME, whose latest build is booted, or the path of a disk image",
          "memory": "MiB of memory; default: 2048"},
)  # fmt: skip
def boot(c: Context, name: Any = None, memory: int = 2048) -> None:
    """Open a shell in a throw-away VM of an image, network cut; its disk is thrown away at the end."""
    from goldsmith.verify import guest

    with common.reported():
        sys.exit(guest.boot_shell(name, memory_mib=memory))


@task(help={"json": JSON, "spec": "NAME of a spec whose needs are checked; default: debian-kubelet"})
def doctor(c: Context, spec: str = "debian-kubelet", json: bool = False) -> None:
    """Check this host, a line a check, each with its remedy."""
    from goldsmith.cli import output
    from goldsmith.host import preflight

    with common.reported(as_json=json):
        report = preflight.doctor(spec)
        print(dumps(report.as_dict(), indent=2) if json else output.as_lines(report.checks))
        sys.exit(0 if report.ok else 3)


@task(positional=["document"], help={"document": "name of a document, such as manifest; default: list them"})
def schema(c: Context, document: Any = None) -> None:
    """Print the JSON schema of a document that goldsmith writes, of an answer to --json, or of the spec."""
    from goldsmith.cli import published_schemas

    with common.reported():
        sys.stdout.write(published_schemas.text(document))


@task(help={"version": "a Kubernetes release, such as 1.35.4"})
def kubelet_bump(c: Context, version: str) -> None:
    """Move the pin of the kubelet's Go module, and of the Go it needs, to another release."""
    from goldsmith.kubernetes import pin

    with common.reported():
        pin.bump(version)


@task(
    help={
        "cache_older_than": "also remove cache entries that were not used for this many days",
        "keep_builds": "also remove builds, all but this many of each spec and those still needed",
        "json": JSON,
    }
)
def clean(c: Context, cache_older_than: float = -1.0, keep_builds: int = -1, json: bool = False) -> None:
    """Remove what dead runs left and broken cache entries; nothing of a live build, nothing verified."""
    from goldsmith import clean
    from goldsmith.core import paths

    with common.reported(as_json=json):
        done = clean.clean(
            paths.out_root(),
            cache_older_than_days=None if cache_older_than < 0 else cache_older_than,
            keep_builds=None if keep_builds < 0 else keep_builds,
        )
        common.show(done, as_json=json)
