# SPDX-License-Identifier: Apache-2.0
"""Results as a person reads them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from goldsmith.cli import common
from goldsmith.containers.bundler import Bundle
from goldsmith.core import progress
from goldsmith.host.preflight import Check
from goldsmith.image.dib_plan import DibPlan
from goldsmith.image.verdict import Verdict
from goldsmith.pipeline import BuildResult
from goldsmith.provenance import lockfile
from goldsmith.provenance.lockfile import Move
from goldsmith.publish import inventory
from goldsmith.publish.inventory import Orphan, Row
from goldsmith.publish.publisher import CloudResult
from goldsmith.spec.load import LoadedSpec


def show(result: BuildResult) -> None:
    """The end of a build, to standard error: name, files, sizes, hashes, seconds per stage."""
    manifest = result.manifest
    progress.note(f"{manifest.name} {manifest.build_id} is verified, in {result.folder}")
    for disk in manifest.disks:
        sizes = f"{progress.human_bytes(disk.size)}, {progress.human_bytes(disk.virtual_size)} virtual"
        progress.note(f"  {disk.file}  {sizes}")
        progress.note(f"  sha256 {disk.sha256}")
    spent = manifest.stages_s or {}
    stages = "  ".join(f"{name} {seconds:.1f}" for name, seconds in spent.items())
    progress.note(f"  seconds: {stages}  total {sum(spent.values()):.1f}")
    verdict = manifest.verification
    assert verdict is not None  # a finished build has one
    progress.note(f"  {verdict.tests} tests passed under {verdict.accelerator}")
    for ref in verdict.uncovered_images:
        progress.note(f"  embedded, but not run by any pod of the spec: {ref}")
    if not result.is_latest:
        progress.note("  a newer build is latest already")


def verdict_as_text(verdict: Verdict) -> str:
    """A verification in a few lines."""
    head = f"{'passed' if verdict.passed else 'failed'}: {verdict.tests} tests, {len(verdict.failed)} failed"
    lines = [head, *(f"  {line}" for line in verdict.failed)]
    lines += [f"  not applicable: {line}" for line in verdict.not_applicable]
    lines += [f"  skipped: {line}" for line in verdict.skipped]
    lines += [f"  embedded, but not run by any pod: {ref}" for ref in verdict.uncovered_images]
    return "\n".join([*lines, f"sha256 {verdict.image_sha256}"])


def bundle_as_dict(bundle: Bundle) -> dict[str, Any]:
    """The answer of export-images --json."""
    lock = json.loads(bundle.lock_path.read_text())
    return {
        "file": str(bundle.path), "sha256": bundle.sha256, "size": bundle.size_bytes,
        "reused": bundle.reused, "images": lock["images"],
    }  # fmt: skip


def plan_as_dict(loaded: LoadedSpec, plan: DibPlan) -> dict[str, Any]:
    """All stages' plans as data."""
    spec = loaded.spec
    return {
        "name": spec.name,
        "spec_sha256": loaded.sha256,
        "kubelet": None if spec.kubelet is None else f"{spec.kubelet.version} from {spec.kubelet.source}",
        "containers": [
            {"ref": c.ref, "from": c.build or c.registry or "engine", "into": c.into.value}
            for c in spec.containers
        ],
        "embed": spec.embed.value,
        "image": {"argv": list(plan.argv), "env": dict(plan.env), "block_device": plan.block_device},
        "formats": [format_.value for format_ in spec.disk.formats],
        "verify": {
            "pods": [pod["metadata"]["name"] for pod in spec.verify.pods],
            "boot_deadline_s": spec.verify.boot_deadline_s,
            "pods_deadline_s": spec.verify.pods_deadline_s,
            "tests": list(spec.verify.tests),
        },
    }


def plan_as_text(loaded: LoadedSpec, plan: DibPlan) -> str:
    """All stages' plans, to read and to diff."""
    data = plan_as_dict(loaded, plan)
    lines = [f"spec        {data['name']} ({data['spec_sha256'][:12]})", f"kubelet     {data['kubelet']}"]
    lines += [f"container   {c['ref']} from {c['from']} into {c['into']}" for c in data["containers"]]
    lines += [f"embed       {data['embed']}"]
    lines += [f"image env   {name}={value}" for name, value in sorted(plan.env.items())]
    lines += [f"image call  {shlex.join(plan.argv)}"]
    lines += [f"image disk  {line}" for line in plan.block_device.splitlines()]
    lines += [f"formats     {' '.join(data['formats'])}"]
    lines += [f"verify      pods {' '.join(data['verify']['pods']) or '(none)'}"]
    lines += [f"verify      tests {' '.join(data['verify']['tests']) or '(only ours)'}"]
    return "\n".join(lines) + "\n"


def as_lines(checks: Sequence[Check]) -> str:
    """The checks of doctor as text: a line for each, and one more if something has to be done."""
    width = max((len(check.name) for check in checks), default=0)
    lines = []
    for check in checks:
        lines.append(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<{width}}  {check.found}")
        if check.remedy:
            lines.append(f"{'':6}{'':<{width}}  -> {check.remedy}")
    return "\n".join(lines)


def show_publications(results: Sequence[CloudResult], schema: str, *, as_json: bool) -> None:
    """One answer for all clouds, on standard output; errors are raised elsewhere."""
    if as_json:
        common.print_json(schema, {"clouds": [result.as_dict() for result in results]})
    else:
        for result in results:
            print("\n".join(_lines(result)))


def show_images(found: Mapping[str, Sequence[Row]], *, as_json: bool) -> None:
    """A table for each cloud."""
    if as_json:
        answer = {cloud: [row.as_dict() for row in rows] for cloud, rows in found.items()}
        common.print_json("goldsmith.images", {"clouds": answer})
        return
    for cloud, rows in found.items():
        print(f"{cloud}:")
        print(inventory.table(rows) or "  no releases")


def show_orphans(found: Mapping[str, Sequence[Orphan]], *, cleaned: bool, as_json: bool) -> None:
    """What publications left that were broken off."""
    if as_json:
        answer = {cloud: [each.as_dict() for each in orphans] for cloud, orphans in found.items()}
        common.print_json("goldsmith.orphans", {"cleaned": cleaned, "clouds": answer})
        return
    for cloud, orphans in found.items():
        print(f"{cloud}:" if orphans else f"{cloud}: nothing was left")
        for each in orphans:
            print(f"  {'removed ' if cleaned else ''}{each.kind} {each.id}  {each.name}  {each.created}")


def _lines(result: CloudResult) -> Iterator[str]:
    cloud = result.cloud or "cloud"
    if result.plan is not None:
        actions = result.plan.actions
        yield f"{cloud}: {len(actions)} steps" if actions else f"{cloud}: nothing to do"
        yield from (line for action in actions for line in action.lines())
        yield from (f"  {note}" for note in result.plan.notes)
    elif result.outcome is not None:
        done = result.outcome
        what = "" if done.changed else ", as before"
        yield f"{cloud}: {done.name} is release {done.number}, image {done.image}{what}"
        yield from (f"  {note}" for note in done.notes)
        if result.notes is not None:
            yield result.notes.text()
    else:
        yield f"{cloud}: failed"


def show_moves(moved: Sequence[Move], schema: str, *, as_json: bool, path: str = "") -> None:
    """The table of moves, or JSON; path: the lock that was written."""
    if as_json:
        answer = {"moved": [move.as_dict() for move in moved]} | ({"path": path} if path else {})
        common.print_json(schema, answer)
        return
    print(lockfile.table(tuple(moved)) if moved else "nothing moved")
    if path:
        print(path)
