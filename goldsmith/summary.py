# SPDX-License-Identifier: Apache-2.0
"""Results as a person reads them."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from goldsmith import progress

if TYPE_CHECKING:
    from goldsmith.containers import Bundle
    from goldsmith.dib import DibPlan
    from goldsmith.pipeline import Result
    from goldsmith.specfile import LoadedSpec
    from goldsmith.verdict import Verdict


def show(result: Result) -> None:
    """The end of a build, to standard error: name, files, sizes, hashes, seconds per stage."""
    manifest = result.manifest
    progress.note(f"{manifest['name']} {manifest['build_id']} is verified, in {result.folder}")
    for disk in manifest["disks"]:
        sizes = f"{progress.human_bytes(disk['size'])}, {progress.human_bytes(disk['virtual_size'])} virtual"
        progress.note(f"  {disk['file']}  {sizes}")
        progress.note(f"  sha256 {disk['sha256']}")
    stages = "  ".join(f"{name} {seconds:.1f}" for name, seconds in manifest["stages_s"].items())
    progress.note(f"  seconds: {stages}  total {sum(manifest['stages_s'].values()):.1f}")
    verification = manifest["verification"]
    progress.note(f"  {verification['tests']} tests passed under {verification['accelerator']}")
    for ref in verification["uncovered_images"]:
        progress.note(f"  embedded, but not run by any pod of the spec: {ref}")
    if not result.is_latest:
        progress.note("  a newer build is latest already")


def verdict_as_text(verdict: Verdict) -> str:
    """A verification in a few lines."""
    head = f"{'passed' if verdict.passed else 'failed'}: {verdict.tests} tests, {len(verdict.failed)} failed"
    lines = [head, *(f"  {line}" for line in verdict.failed)]
    lines += [f"  not applicable: {line}" for line in verdict.not_applicable]
    lines += [f"  skipped: {line}" for line in verdict.skipped]
    lines += [f"  embedded, but not run by any pod: {ref}" for ref in verdict.uncovered]
    return "\n".join([*lines, f"sha256 {verdict.sha256}"])


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
