# SPDX-License-Identifier: Apache-2.0
"""Print results as text for people."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from goldsmith.build.values import BuildResult
from goldsmith.cli import common, tables
from goldsmith.cli.answers import InitAnswer, PlanAnswer
from goldsmith.core import paths, progress
from goldsmith.core.documents import Document
from goldsmith.host.preflight import Check
from goldsmith.image.verdict import Verdict
from goldsmith.publish import inventory
from goldsmith.publish.inventory import ImagesAnswer, Listing, OrphansAnswer
from goldsmith.publish.publisher import CloudResult

_WIDE = ("kernel", "kubelet", "images")
_SPARE = ("visibility", "size", "age", "status")


def show(result: BuildResult) -> None:
    """Print the summary of a build to standard error: name, files, sizes, hashes, seconds per stage."""
    manifest = result.manifest
    verdict = manifest.verification
    assert verdict is not None  # a finished build has one
    what = "is verified" if verdict.passed else "is not verified, but passed the first boot's tests"
    progress.note(f"{manifest.name} {manifest.build_id} {what}, in {result.folder}")
    if result.verdict is not None:
        progress.note(f"  verified again: {result.verdict}")
    for disk in manifest.disks:
        sizes = f"{progress.human_bytes(disk.size)}, {progress.human_bytes(disk.virtual_size)} virtual"
        progress.note(f"  {disk.file}  {sizes}")
        progress.note(f"  sha256 {disk.sha256}")
    spent = manifest.stages_s or {}
    stages = "  ".join(f"{name} {seconds:.1f}" for name, seconds in spent.items())
    when = "seconds" if result.changed else "seconds then"
    progress.note(f"  {when}: {stages}  total {sum(spent.values()):.1f}")
    progress.note(f"  {verdict.tests} tests passed under {verdict.accelerator}")
    for ref in verdict.uncovered_images:
        progress.note(f"  embedded, but not run by any pod of the spec: {ref}")
    if not verdict.passed:
        progress.note("  to verify it: the same command with --from verify --keep instead of --quick")
    elif not result.is_latest:
        progress.note("  a newer build is latest already")


def verdict_as_text(verdict: Verdict) -> str:
    """A verdict as a few lines of text."""
    head = f"{verdict.result}: {verdict.tests} tests, {len(verdict.failed)} failed"
    lines = [head, *(f"  {line}" for line in verdict.failed)]
    lines += [f"  not applicable: {line}" for line in verdict.not_applicable]
    lines += [f"  skipped: {line}" for line in verdict.skipped]
    lines += [f"  embedded, but not run by any pod: {ref}" for ref in verdict.uncovered_images]
    return "\n".join([*lines, f"sha256 {verdict.image_sha256}"])


def init_as_text(site: InitAnswer) -> str:
    """The files of a new image, and what to do next."""
    lines = [f"wrote  {path}" for path in site.written] + [f"kept   {path}" for path in site.kept]
    spec = shlex.quote(site.spec)
    lines += ["", f"check  scripts/inv plan {spec}", f"build  scripts/inv build-image {spec}"]
    return paths.as_typed("\n".join([*lines, "keys   docs/spec-reference.md"]) + "\n")


def plan_as_text(plan: PlanAnswer) -> str:
    """The plan of all stages as lines, for reading and for diff."""
    lines = [f"spec        {plan.name} ({plan.spec_sha256[:12]})", f"kubelet     {plan.kubelet}"]
    lines += [f"container   {c['ref']} from {c['from']} into {c['into']}" for c in plan.containers]
    lines += [f"embed       {plan.embed}"]
    lines += [f"image env   {name}={value}" for name, value in sorted(plan.image.env.items())]
    lines += [f"image call  {shlex.join(plan.image.argv)}"]
    lines += [f"image root  {plan.root}"] if plan.root else []
    lines += [f"image disk  {line}" for line in plan.image.block_device.splitlines()]
    lines += [f"formats     {' '.join(plan.formats)}"]
    lines += [f"verify      pods {' '.join(plan.verify.pods) or '(none)'}"]
    lines += [f"verify      pods checked by {plan.verify.pods_checked_by}"] if plan.verify.pods else []
    lines += [f"verify      tests {' '.join(plan.verify.tests) or '(only ours)'}"]
    return "\n".join(lines) + "\n"


def as_lines(checks: Sequence[Check]) -> str:
    """The checks of doctor as text: a paragraph for each, and one more line for its remedy, to be copied."""
    width = tables.width()
    names = [f"{'ok  ' if check.ok else 'FAIL'}  {check.name}" for check in checks]
    start = tables.start_of_text(names, width, indent=0)
    lines: list[str] = []
    for name, check in zip(names, checks, strict=True):
        lines += tables.pairs([(name, check.found)], width, indent=0, start=start)
        if check.remedy:
            lines.append(f"{'':{start}}-> {check.remedy}")
    return "\n".join(lines)


def show_publications(results: Sequence[CloudResult], answer: Document, *, as_json: bool) -> None:
    """Print the results of all clouds on standard output. The caller raises their errors."""
    if as_json:
        common.print_document(answer)
        return
    for result in results:
        print("\n".join(_lines(result)))


def show_images(results: Sequence[CloudResult], *, as_json: bool, wide: bool = False) -> None:
    """Print a table of releases for each cloud that answered. The caller raises the errors of the others."""
    found = {result.cloud: result.listing for result in results if result.listing is not None}
    if as_json:
        clouds = {cloud: listing.rows for cloud, listing in found.items()}
        used_up = {cloud: listing.used_up for cloud, listing in found.items() if listing.used_up}
        common.print_document(ImagesAnswer(clouds=clouds, used_up=used_up, errors=_errors(results)))
        return
    for cloud, listing in found.items():
        print(f"{cloud}:")
        print("\n".join(_listing(listing, wide=wide)))


def _listing(listing: Listing, *, wide: bool) -> Iterator[str]:
    """The table, and which numbers are missing in it."""
    if listing.rows:
        rows = [row.cells(listing.now) for row in listing.rows]
        width = None if wide else tables.width()
        yield from tables.table(inventory.COLUMNS, rows, width=width, wide=_WIDE, spare=_SPARE)
    else:
        yield "  no releases"
    if listing.used_up:
        numbers = ", ".join(str(number) for number in listing.used_up)
        yield f"  interrupted publications used up the release numbers {numbers}"


def show_orphans(results: Sequence[CloudResult], *, cleaned: bool, as_json: bool) -> None:
    """Print leftovers of interrupted publications, as show_images() prints releases."""
    found = {result.cloud: result.orphans for result in results if result.orphans is not None}
    if as_json:
        common.print_document(OrphansAnswer(cleaned=cleaned, clouds=found, errors=_errors(results)))
        return
    for cloud, orphans in found.items():
        print(f"{cloud}:" if orphans else f"{cloud}: no leftovers")
        for each in orphans:
            print(f"  {'removed ' if cleaned else ''}{each.kind} {each.id}  {each.name}  {each.created}")


def _errors(results: Sequence[CloudResult]) -> dict[str, str]:
    return {result.cloud: str(result.error) for result in results if result.error is not None}


def _lines(result: CloudResult) -> Iterator[str]:
    cloud = result.cloud or "cloud"
    if result.plan is not None:
        actions = result.plan.actions
        yield f"{cloud}: {len(actions)} steps" if actions else f"{cloud}: nothing to do"
        yield from (line for action in actions for line in action.lines())
        yield from (f"  {note}" for note in result.plan.notes)
    elif result.outcome is not None:
        done = result.outcome
        what = "" if done.changed else ", unchanged"
        yield f"{cloud}: {done.name} is release {done.number}, image {done.image}{what}"
        yield from (f"  {note}" for note in done.notes)
    else:
        yield f"{cloud}: failed"
    if result.diff is not None:
        yield result.diff.text()
