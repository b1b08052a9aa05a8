# SPDX-License-Identifier: Apache-2.0
"""Make a disk image of a root layer: grow a copy, run the later hooks of our elements on it, convert it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from goldsmith.containers.bundler import Bundle
from goldsmith.core import files, isolation, proc, progress
from goldsmith.errors import BuildError, CommandError
from goldsmith.image import dib, mount, packages, qemu_img
from goldsmith.image.dib_plan import DibPlan
from goldsmith.layers.root import EMBED, RootLayer
from goldsmith.spec.model import Embed, ImageSpec, PartitionTable

_MIB = 1 << 20
_PACKED = 6  # times as large is a layer unpacked, at most; mostly it is 2 to 4
_SPARE = 0.6  # of the disk is used at most, as by diskimage-builder
_OUTSIDE = (
    "goldsmith-identity/cleanup.d/80-goldsmith-identity",
    "goldsmith-seal/cleanup.d/90-goldsmith-seal",
)
_MOUNT_POINT = "assembly"


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What comes onto the root: files, and the plan of the whole image, whose variables the hooks read."""

    plan: DibPlan
    elements: Path
    identity: Path
    bundle: Bundle | None
    pod_schema: Path | None


def assemble(spec: ImageSpec, root: RootLayer, parts: Parts, scratch: Path, *, log_path: Path) -> Path:
    """The disk image, in scratch, as qcow2. All output goes to log_path. Raises BuildError."""
    raw = scratch / "assembly.raw"
    with progress.step("copy the root"):
        proc.run(["cp", "--sparse=always", "--reflink=auto", root.disk, raw], log_path=log_path)
    _grow(spec, raw, parts.bundle, log_path)
    shutil.copy(root.packages, parts.identity / packages.FILE)
    with progress.step("embed and seal"):
        _finish(spec, raw, parts, scratch, log_path)
    qemu_img.make_qcow2(raw, parts.plan.image, spec.disk.compression)
    raw.unlink()
    return parts.plan.image


def _grow(spec: ImageSpec, raw: Path, bundle: Bundle | None, log_path: Path) -> None:
    """Make the disk and its root as large as the spec says, else larger by what the bundle needs."""
    size = raw.stat().st_size
    if spec.disk.size_mib is not None:
        wanted = spec.disk.size_mib * _MIB
    else:
        embedded = 0 if bundle is None else bundle.size_bytes
        if bundle is not None and spec.embed is Embed.unpacked:
            embedded += _unpacked(bundle)
        wanted = size + -(-int(embedded / _SPARE) // _MIB) * _MIB
    if wanted < size:
        raise BuildError(
            f"the root needs a disk of {progress.human_bytes(size)}, more than disk.size",
            hint="write a larger disk.size, or none",
        )
    if wanted == size:
        return
    number = mount.number_of_root(raw)
    proc.run(["truncate", "--size", str(wanted), raw], log_path=log_path)
    if spec.disk.partition_table is PartitionTable.gpt:  # it has a copy of itself at the end
        proc.run(["sfdisk", "--quiet", "--relocate", "gpt-bak-std", raw], log_path=log_path)
    proc.capture(["sfdisk", "--quiet", "-N", str(number), raw], stdin=b", +\n")


def _unpacked(bundle: Bundle) -> int:
    """Bytes of the files in all layers, at most: of a packed layer only the packed size is known."""
    layers = {layer.diff_id: layer for image in bundle.images for layer in image.layers}.values()
    return sum(layer.size * (1 if layer.digest == layer.diff_id else _PACKED) for layer in layers)


def _finish(spec: ImageSpec, raw: Path, parts: Parts, scratch: Path, log_path: Path) -> None:
    start, size = mount.root_partition(raw, raw)
    hooks, target = scratch / "late-hooks", scratch / _MOUNT_POINT
    target.mkdir()
    inside = ""
    if spec.containers:
        inside = _embedding(parts, hooks)
    request = {
        "disk": str(raw), "start": start, "size": size, "target": str(target), "hooks": str(hooks),
        "inside": inside, "env": _variables(parts.plan.env),
        "outside": [str(parts.elements / hook) for hook in _OUTSIDE],
    }  # fmt: skip
    asked = scratch / "finish.json"
    asked.write_text(json.dumps(request))
    argv = isolation.contained(
        (sys.executable, "-B", "-P", "-m", "goldsmith.layers.finish", asked), network=False
    )
    try:
        proc.run(argv, log_path=log_path, env=dib.environment(parts.plan))
    except CommandError as e:
        tail = "".join(f"\n  | {line}" for line in _said(e.tail))
        raise BuildError(f"cannot embed the containers in a copy of the root{tail}", hint=e.hint) from e


def _said(tail: Sequence[str]) -> list[str]:
    """The last lines of the hooks and of the error, without where in goldsmith that was raised."""
    lines = list(tail)
    traceback = next((at for at, line in enumerate(lines) if line.startswith("Traceback ")), None)
    return lines if traceback is None else [*lines[:traceback], lines[-1].removeprefix("goldsmith.errors.")]


def _variables(env: Mapping[str, str]) -> dict[str, str]:
    """What the hooks read: the variables of our own elements, and which distribution it is."""
    wanted = ("DIB_EMBED_", "DIB_HEAT_", "DIB_IDENTITY_", "DIB_SEAL_", "DIB_RELEASE", "DIB_IMAGE_CACHE")
    found = {name: value for name, value in env.items() if name.startswith(wanted)}
    return {"DIB_EMBED_LATER": "0", "DIB_SEAL_MIRROR": "", "DISTRO_NAME": "debian", **found}


def _embedding(parts: Parts, hooks: Path) -> str:
    """Lay out what the element's hook finds beside it, as diskimage-builder does; the hook's path in it."""
    assert parts.bundle is not None
    shutil.copytree(parts.elements / EMBED, hooks, symlinks=True)
    embed = hooks / "embed"
    embed.mkdir()
    files.copy(parts.bundle.path, embed / "bundle.tar")
    shutil.copy(parts.bundle.lock_path, embed / "images.lock.json")
    if parts.pod_schema is not None:
        shutil.copy(parts.pod_schema, embed / "pod-schema.json")
    return f"post-install.d/60-{EMBED}"
