# SPDX-License-Identifier: Apache-2.0
"""Command line of the project. Tasks parse, delegate and report; they hold no logic."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from invoke.context import Context
from invoke.tasks import task

from goldsmith.cli import common

# Modules are imported by the task that needs them: --list and --help answer at once.

common.make_optional({"name": "debian-kubelet"})

_NAME = "a spec: NAME of image-specs/NAME.yaml.j2, or a path; default: debian-kubelet"
_VAR = "NAME=VALUE, a variable of the spec; may be repeated"
_OUT = "folder for what is built; default: $GOLDSMITH_OUT, else out/"
_JSON = "answer with JSON on standard output"
_REFRESH = "look for new packages even if the cache is fresh, and build the container images anew"


@task(
    positional=["name"],
    iterable=["var"],
    help={
        "name": _NAME, "var": _VAR, "out": _OUT, "json": _JSON, "refresh": _REFRESH,
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
            answer = result.as_dict()
            common.print_json(answer.pop("schema"), answer)
        else:
            print(result.folder / result.manifest["disks"][0]["file"])


@task(positional=["name"], iterable=["var"], help={"name": _NAME, "var": _VAR})
def render(c: Context, name: Any = None, var: Any = None) -> None:
    """Print a spec as YAML, rendered and checked."""
    from goldsmith.spec import load

    with common.reported():
        sys.stdout.write(load.load(name, common.variables(var or ())).rendered)


@task(positional=["name"], iterable=["var"], help={"name": _NAME, "var": _VAR, "json": _JSON})
def plan(c: Context, name: Any = None, var: Any = None, json: bool = False) -> None:
    """Print what a build would call. Touches nothing, asks the host nothing."""
    from goldsmith.cli import output
    from goldsmith.image import prepare

    with common.reported(as_json=json):
        loaded, dib_plan = prepare.plan(name, common.variables(var or ()))
        if json:
            common.print_json("goldsmith.plan", output.plan_as_dict(loaded, dib_plan))
        else:
            sys.stdout.write(output.plan_as_text(loaded, dib_plan))


@task(
    positional=["name"],
    iterable=["var"],
    help={
        "name": _NAME, "var": _VAR, "json": _JSON, "refresh": _REFRESH,
        "out": "folder for bundle.tar and images.lock.json; default: out/NAME-images",
    },
)  # fmt: skip
def export_images(
    c: Context, name: Any = None, var: Any = None, out: str = "", refresh: bool = False, json: bool = False
) -> None:
    """Write a spec's container images into one OCI archive, with its lock beside it."""
    from goldsmith.cli import output
    from goldsmith.containers import bundler
    from goldsmith.core import paths

    with common.reported(as_json=json):
        target = Path(out) if out else paths.out_root() / f"{Path(name).name}-images"
        bundle = bundler.export_images(name, common.variables(var or ()), target, refresh=refresh)
        if json:
            common.print_json("goldsmith.bundle", output.bundle_as_dict(bundle))
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
        "json": _JSON,
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
            common.print_json("goldsmith.verdict", verdict.as_dict())
        else:
            print(output.verdict_as_text(verdict))
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


@task(help={"json": _JSON, "spec": "NAME of a spec whose needs are checked; default: debian-kubelet"})
def doctor(c: Context, spec: str = "debian-kubelet", json: bool = False) -> None:
    """Check this host, a line a check, each with its remedy."""
    from goldsmith.cli import output
    from goldsmith.host import preflight

    with common.reported(as_json=json):
        checks = preflight.doctor(spec)
        print(output.as_json(checks) if json else output.as_lines(checks))
        sys.exit(0 if all(check.ok for check in checks) else 3)


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
        "json": _JSON,
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
        if json:
            common.print_json("goldsmith.clean", {"removed": done})
        else:
            print("\n".join(done) or "nothing to remove")


@task
def lint(c: Context) -> None:
    """Check style and types of all code: Python, shell, YAML, elements, spelling."""
    from tests.lint import linters

    with common.reported():
        linters.lint()


@task(help={"junit": "file for the JUnit report; default: out/test/junit.xml"})
def test(c: Context, junit: str = "") -> None:
    """Run all tests: lint, unit, elements, integration with the real tools, and the whole main job."""
    from goldsmith.cli import development
    from goldsmith.core import paths

    with common.reported():
        development.test(Path(junit) if junit else paths.out_root() / "test" / "junit.xml")


@task(help={"what": "export, image or publish; default: all", "json": _JSON})
def bench(c: Context, what: str = "", json: bool = False) -> None:
    """Compare our export and our image stage with the plain tools, on the same work, in one run."""
    from tests.bench import runner

    with common.reported(as_json=json):
        report = runner.run(what)
        if json:
            common.print_json("goldsmith.bench", report)
        else:
            print(runner.as_table(report))


@task(
    help={
        "name": "kill: builds killed with -9 at random moments; mutate: images that must fail verification; "
        "embed: the default image with each way to embed; heat-update: updates that change "
        "images; heat-failures: what can go wrong around a server; heat-group: servers that are replaced one "
        "by one; heat-signal: deployments while Heat's ports come and go; "
        "heat-engine: and while its engine is killed; heat-idle: the agent at rest; "
        "publish: publications killed with -9; publish-names: releases, watched by clients; "
        "rebuild: the default image made twice from the same inputs; offline: it is built from its lock, "
        "without network",
        "times": "how many trials", "seed": "of the random choices; the same seed, the same trials",
        "report": "file for the JSON report, which is also where a broken-off run goes on",
    }
)  # fmt: skip
def soak(c: Context, name: str, times: int = 20, seed: int = 1, report: str = "") -> None:
    """Trials that are counted in tens: seeded, and resumed where they were broken off."""
    from goldsmith.core import paths
    from tests.soak import runner

    with common.reported():
        path = Path(report) if report else paths.out_root() / "soak" / f"{name}-{seed}.json"
        runner.run(name, times=times, seed=seed, report=path)
