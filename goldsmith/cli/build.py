# SPDX-License-Identifier: Apache-2.0
"""Tasks that build, verify and boot images, and check and clean this host."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from invoke.context import Context
from invoke.tasks import task

from goldsmith.cli import common
from goldsmith.cli.common import JSON, NAME, OUT, VAR, WIDE
from goldsmith.cli.words.descriptions import Group, described
from goldsmith.errors import SpecError

_KEEP_GOING = "run all phases of the tests (sealed, booted, rebooted, collected), also after one that failed"
_OLDER = "take package indexes that are older than those seen here before; the manifest says so"
_REMEMBERED = "if no mirror answers, take the package indexes seen last; the manifest says so"
_REFRESH = "fetch package indexes again and rebuild the container images, even if the cache is fresh"


@described(Group.build, "build-image my-image --var release=sid", 4, 5, 6, 9)
@task(
    positional=["name"],
    iterable=["var"],
    help={
        "name": NAME, "var": VAR, "out": OUT, "json": JSON, "refresh": _REFRESH,
        "keep": "keep the disk image if the build fails, for --from or to inspect it",
        "allow_older_index": _OLDER,
        "remembered_index": _REMEMBERED,
        "locked": "fail if any package, container or element differs from NAME.lock.yaml",
        "keep_going": _KEEP_GOING,
        "from": "resume the last failed build that was kept, at this stage: boot or verify",
        "force": "build also if nothing has changed since the latest verified build",
        "quick": "end after the first boot's tests: the build is not verified, latest does not move",
        "verify_short_way": "make one image in so many, by chance, in one go, too, and compare; 0: none",
        "verify": "if nothing has changed, verify the latest build once more, with a verdict of its own",
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
    keep_going: bool = False,
    force: bool = False,
    verify: bool = False,
    quick: bool = False,
    verify_short_way: int = 0,
    allow_older_index: bool = False,
    remembered_index: bool = False,
    out: str = "",
    json: bool = False,
) -> None:
    """Build, boot and verify an image in out/NAME/, then point latest to it. Publishes nothing."""
    from goldsmith import pipeline
    from goldsmith.apt.indexes import Accepted
    from goldsmith.build import values
    from goldsmith.cli import output
    from goldsmith.core import paths

    with common.reported(as_json=json):
        options = values.Options(
            variables=common.variables(var or ()), out=paths.out_root(out), keep=keep, refresh=refresh,
            start=from_, locked=locked, keep_going=keep_going, force=force, verify=verify,
            quick=quick, verify_short_way=verify_short_way,
            accepted=Accepted(older=allow_older_index, remembered=remembered_index),
        )  # fmt: skip
        result = pipeline.build(name, options)
        output.show(result)
        if json:
            common.print_document(result)
        else:
            print(result.image)


@described(Group.build, "init my-image")
@task(
    help={
        "image": "name of the new image: small letters, digits and hyphens",
        "into": "folder for its files; default: the current folder",
        "json": JSON,
    },
)  # fmt: skip
def init(c: Context, image: str, into: str = "", json: bool = False) -> None:
    """Write the files of a new image: spec, variables, policy, container, element, suite. Replaces none."""
    from goldsmith.cli import output
    from goldsmith.cli.answers import InitAnswer
    from goldsmith.spec import site

    with common.reported(as_json=json):
        answer = InitAnswer.of(site.create(image, Path(into).absolute()))
        if json:
            common.print_document(answer)
        else:
            sys.stdout.write(output.init_as_text(answer))


@described(Group.look, "render my-image --var release=sid")
@task(positional=["name"], iterable=["var"], help={"name": NAME, "var": VAR})
def render(c: Context, name: Any = None, var: Any = None) -> None:
    """Render and check a spec, and print it as YAML."""
    from goldsmith.spec import load

    with common.reported():
        sys.stdout.write(load.load(name, common.variables(var or ())).rendered)


@described(Group.look, "plan my-image", 9)
@task(positional=["name"], iterable=["var"], help={"name": NAME, "var": VAR, "json": JSON})
def plan(c: Context, name: Any = None, var: Any = None, json: bool = False) -> None:
    """Check a spec and its pods, and print the commands of a build. Changes nothing, fetches nothing."""
    from goldsmith.build import checks
    from goldsmith.cli import output
    from goldsmith.cli.answers import PlanAnswer
    from goldsmith.containers import bundler
    from goldsmith.image import prepare
    from goldsmith.kubernetes import kubelet, pod_check
    from goldsmith.layers import forecast

    with common.reported(as_json=json):
        loaded, dib_plan = prepare.plan(name, common.variables(var or ()))
        checks.require_readable(loaded)
        bundler.require_allowed(loaded.spec)
        kubelet_spec = loaded.spec.kubelet
        pod_schema = None if kubelet_spec is None else kubelet.cached_pod_schema(kubelet_spec)
        checked_by = pod_check.check(loaded, pod_schema)
        root = forecast.of_spec(loaded)
        answer = PlanAnswer.of(loaded, dib_plan, pods_checked_by=checked_by, root=root)
        if json:
            common.print_document(answer)
        else:
            sys.stdout.write(output.plan_as_text(answer))


@described(Group.build, "export-images my-image --out my-images", 4, 9)
@task(
    positional=["name"],
    iterable=["var"],
    help={
        "name": NAME, "var": VAR, "json": JSON, "refresh": _REFRESH,
        "allow_older_index": _OLDER, "remembered_index": _REMEMBERED,
        "out": "folder for bundle.tar and images.lock.json; default: out/NAME-images",
    },
)  # fmt: skip
def export_images(
    c: Context,
    name: Any = None,
    var: Any = None,
    out: str = "",
    refresh: bool = False,
    allow_older_index: bool = False,
    remembered_index: bool = False,
    json: bool = False,
) -> None:
    """Write a spec's container images into one OCI archive, and its lock beside it."""
    from goldsmith.apt.indexes import Accepted
    from goldsmith.cli.answers import BundleAnswer
    from goldsmith.containers import bundler

    with common.reported(as_json=json):
        target = Path(out) if out else None
        bundle = bundler.export_images(
            name, common.variables(var or ()), target, refresh=refresh,
            accepted=Accepted(older=allow_older_index, remembered=remembered_index),
        )  # fmt: skip
        if json:
            common.print_document(BundleAnswer.of(bundle))
        else:
            print(bundle.path)


@described(Group.build, "verify-image my-image-amd64.qcow2 --tests my-tests", 4, 5, 6)
@task(
    iterable=["tests"],
    help={
        "file": "the disk image, qcow2 or raw; nothing writes to it",
        "manifest": "manifest.json to compare with; default: only the image's own build.json",
        "out": "folder for junit.xml and console.log; default: verify-FILE in the current folder",
        "tests": "folder with more pytest-testinfra suites; may be repeated",
        "fail_fast": "the default: end after the first phase with a failed test",
        "keep_going": _KEEP_GOING,
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
    keep_going: bool = False,
    json: bool = False,
) -> None:
    """Verify any disk image, offline and in a throw-away VM without network."""
    from goldsmith.cli import output
    from goldsmith.image.verdict import VerdictAnswer
    from goldsmith.verify import session

    with common.reported(as_json=json):
        if fail_fast and keep_going:
            raise SpecError("--fail-fast and --keep-going exclude each other", hint="give one of the two")
        target = Path(out) if out else Path(f"verify-{Path(file).stem}")
        verdict = session.verify_file(
            Path(file),
            manifest=Path(manifest) if manifest else None,
            out=target,
            tests=[Path(t) for t in tests or ()],
            fail_fast=not keep_going,
        )
        if json:
            common.print_document(VerdictAnswer.of(verdict))
        else:
            print(output.verdict_as_text(verdict))
    with common.reported():  # no JSON: the verdict is on standard output already
        verdict.require(target)


@described(Group.build, "boot my-image", 4, 5, meaning={0: "done; else the exit status of the shell"})
@task(
    positional=["name"],
    help={"name": "NAME of a spec, to boot its latest build, or the path of a disk image",
          "memory": "MiB of memory of the VM; default: 2048", "json": JSON,
          "timeline": "open no shell, but print when the parts of the boot began and ended"},
)  # fmt: skip
def boot(
    c: Context, name: Any = None, memory: int = 2048, timeline: bool = False, json: bool = False
) -> None:
    """Open a shell in a throw-away VM of an image, without network. Nothing writes to the image."""
    from goldsmith.cli import tables
    from goldsmith.verify import guest
    from goldsmith.verify.timeline import as_text

    with common.reported(as_json=json):
        if json and not timeline:
            raise SpecError("a shell has no JSON", hint="give --timeline, too")
        if not timeline:
            sys.exit(guest.boot_shell(name, memory_mib=memory))
        found = guest.boot_timeline(name, memory_mib=memory)
        if json:
            common.print_document(found)
        else:
            print(as_text(found, width=tables.width()))


@described(Group.look, "doctor --spec my-image")
@task(help={"json": JSON, "spec": "NAME of the spec to check the host for; default: debian-kubelet"})
def doctor(c: Context, spec: str = "debian-kubelet", json: bool = False) -> None:
    """Check this host; print a line for each check, with a remedy if it fails."""
    from goldsmith.cli import output
    from goldsmith.containers import bundler
    from goldsmith.host import preflight

    with common.reported(as_json=json):
        report = preflight.doctor(spec, further={"policy": bundler.require_allowed})
        if json:
            common.print_document(report)
        else:
            print(output.as_lines(report.checks))
        sys.exit(0 if report.ok else 3)


@described(Group.look, "schema manifest")
@task(
    positional=["document"],
    help={"document": "name of a document, such as manifest; default: list them"},
)
def schema(c: Context, document: Any = None) -> None:
    """Print the JSON schema of a document, of an answer to --json, or of the spec."""
    from goldsmith.cli import published_schemas

    with common.reported():
        sys.stdout.write(published_schemas.text(document))


@described(Group.look, "builds my-image --wide")
@task(
    positional=["name"],
    help={"name": "the spec; default: all that have builds", "wide": WIDE, "out": OUT, "json": JSON},
)
def builds(c: Context, name: str = "", wide: bool = False, out: str = "", json: bool = False) -> None:
    """List the builds in out/: verdict, date, size, commit, and where they were released from here."""
    from goldsmith.cli import build_list
    from goldsmith.core import paths
    from goldsmith.spec import load

    with common.reported(as_json=json):
        found = build_list.find(paths.out_root(out), load.name_of(name))
        if json:
            common.print_document(found)
        else:
            print(found.as_text(wide=wide))


@described(Group.look, "completion bash")
@task(help={"shell": "bash, zsh or fish"})
def completion(c: Context, shell: str) -> None:
    """Print what makes a shell complete tasks, options and names; see docs/command-line.md."""
    from goldsmith.cli.words import completion_scripts

    with common.reported():
        sys.stdout.write(completion_scripts.text(shell))


@described(Group.build, "kubelet-bump 1.35.4", 4)
@task(help={"version": "a Kubernetes release, such as 1.35.4"})
def kubelet_bump(c: Context, version: str) -> None:
    """Pin the kubelet's Go module, and the Go toolchain that it needs, to another release."""
    from goldsmith.kubernetes import pin

    with common.reported():
        pin.bump(version)


@described(Group.build, "clean --cache-older-than 30 --keep-builds 5")
@task(
    help={
        "cache_older_than": "also remove cache entries unused for this many days",
        "cache_max_size": "also remove what was unused for longest, until the cache has at most this: 20GiB, "
        "500MiB; not what a lock in image-specs/ or a published build names",
        "keep_builds": "also remove builds, except this many of each spec, the latest and published ones",
        "json": JSON,
    }
)
def clean(
    c: Context,
    cache_older_than: float = -1.0,
    cache_max_size: str = "",
    keep_builds: int = -1,
    json: bool = False,
) -> None:
    """Remove leftovers of dead runs and broken cache entries; never parts of a live build."""
    from goldsmith import clean
    from goldsmith.core import paths
    from goldsmith.spec import fields

    with common.reported(as_json=json):
        if cache_max_size and not fields.is_size(cache_max_size):
            raise SpecError(
                f"--cache-max-size takes a size, got {cache_max_size!r}",
                hint="write it like 20GiB or 500MiB",
            )
        done = clean.clean(
            paths.out_root(),
            cache_older_than_days=None if cache_older_than < 0 else cache_older_than,
            keep_builds=None if keep_builds < 0 else keep_builds,
            cache_max_bytes=fields.mib(cache_max_size) << 20 if cache_max_size else None,
        )
        common.show(done, as_json=json)
