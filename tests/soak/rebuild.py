# SPDX-License-Identifier: Apache-2.0
"""Soak test rebuild: the default image in one go and by layers from the same inputs: do they differ?"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from goldsmith.containers import bundler, policy
from goldsmith.core import privilege, proc, runs
from goldsmith.core.runs import Run
from goldsmith.host import partitions
from goldsmith.image import dib, mount, packages, prepare
from goldsmith.image.dib_plan import DibPlan
from goldsmith.kubernetes import kubelet
from goldsmith.layers import assembly, root
from goldsmith.layers.root import Made
from goldsmith.provenance import spec_lock
from goldsmith.spec import load
from goldsmith.spec.model import ContainerSpec, Embed, ImageSpec

SPEC = "debian-kubelet"
_COMPARE_S = 600

# Pattern of a path -> why it differs between two builds from the same inputs.
EXCEPTIONS: Mapping[str, str] = {
    r"/var/lib/containerd/io\.containerd\.metadata\.v1\.bolt/meta\.db": "it has import times of blobs",
}


def _verified(spec: ImageSpec, **changes: Any) -> ImageSpec:
    return replace(spec, verify=replace(spec.verify, **changes))


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What a trial changes in the default spec, if anything."""

    name: str
    of: Callable[[ImageSpec], ImageSpec]


_MORE = ContainerSpec(ref="goldsmith.local/more:1", build="containers/redis")
CHANGES = (
    Change(name="nothing", of=lambda spec: spec),
    Change(name="a container more", of=lambda spec: replace(spec, containers=(*spec.containers, _MORE))),
    Change(name="a container less", of=lambda spec: replace(spec, containers=spec.containers[:-1])),
    Change(name="unpacked", of=lambda spec: replace(spec, embed=Embed.unpacked)),
    Change(name="archive", of=lambda spec: replace(spec, embed=Embed.archive)),
    Change(name="a pod less", of=lambda spec: _verified(spec, pods=spec.verify.pods[:-1])),
    Change(name="a verify key", of=lambda spec: _verified(spec, cpus=4)),
    Change(name="a package", of=lambda spec: replace(spec, packages=(*spec.packages, "strace"))),
)  # fmt: skip


class Rebuild:
    """Trials of `invoke soak rebuild`: an image in one go, and by layers, from the same inputs."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """Report the paths that may differ."""
        return {"spec": SPEC, "exceptions": dict(EXCEPTIONS), "changes": [change.name for change in CHANGES]}

    def one(self, index: int, _choice: random.Random) -> dict[str, Any]:
        """Make both images with one of CHANGES and compare their root file systems."""
        change = CHANGES[index % len(CHANGES)]
        with runs.run() as run:
            first, second, reused = self._both(run, change)
            with (
                mount.opened(first, format_="qcow2", scratch=_folder(run, "mount-1")) as left,
                mount.opened(second, format_="qcow2", scratch=_folder(run, "mount-2")) as right,
            ):
                found = _differing(left, right, run)
        may = {path: why for path in found if (why := excepted(path)) is not None}
        return {
            "change": change.name,
            "root": "from the cache" if reused else "made",
            "differing": may,
            "problems": [f"{path} differs" for path in found if path not in may],
        }

    def finish(self) -> dict[str, Any]:
        """Nothing to check."""
        return {"problems": []}

    def _both(self, run: Run, change: Change) -> tuple[Path, Path, bool]:
        """The disk image in one go, that by layers, and whether its root was in the cache."""
        loaded, log = load.load(SPEC, {}), run.folder / "build.log"
        spec = change.of(loaded.spec)
        loaded = replace(loaded, spec=spec)
        assert spec.kubelet is not None
        binary = kubelet.obtain(spec.kubelet, spec.arch, run=run, log_path=log)
        index = spec_lock.index_states(spec, None)[spec.release]
        bundle = bundler.export(
            spec.containers, layers=spec.layers, arch=spec.arch, run=run, log_path=log,
            policy=policy.of_spec(spec),
        )  # fmt: skip
        schema = kubelet.pod_schema(spec.kubelet)
        parts_of_root = root.parts_of(
            loaded, index=index, binary=binary, mapper=partitions.partition_mapper()
        )

        def plan(name: str, *, root_layer: bool = False) -> DibPlan:
            return prepare.make(
                loaded, _folder(run, name), binary=binary, bundle=bundle, pod_schema=schema,
                index=index, root_uuid=root.uuid_of(parts_of_root), root_layer=root_layer,
            )  # fmt: skip

        def make_root() -> Made:
            disk = dib.build(plan("root", root_layer=True), log_path=log)
            return Made(disk=disk, packages=run.folder / "root/identity" / packages.FILE, log=log)

        in_one_go = dib.build(plan("in-one-go"), log_path=log)
        layer = root.obtain(parts_of_root, make_root, again=False)
        layered, folder = plan("layered"), run.folder / "layered"
        parts = assembly.Parts(
            plan=layered, elements=folder / "elements", identity=folder / "identity", bundle=bundle,
            pod_schema=schema,
        )  # fmt: skip
        return in_one_go, assembly.assemble(spec, layer, parts, folder, log_path=log), layer.reused


def excepted(path: str) -> str | None:
    """Why a path may differ; None where it must not."""
    return next((why for pattern, why in EXCEPTIONS.items() if re.fullmatch(pattern, path)), None)


def _folder(run: Run, name: str) -> Path:
    folder = run.folder / name
    folder.mkdir()
    return folder


def _differing(left: Path, right: Path, run: Run) -> list[str]:
    out = run.folder / "differing.json"
    argv: tuple[proc.Arg, ...] = (sys.executable, "-B", "-m", "tests.soak.tree_diff", left, right, out)
    proc.run(privilege.as_root(argv), log_path=run.folder / "differing.log", timeout_s=_COMPARE_S)
    return [str(path) for path in json.loads(out.read_text())]
