# SPDX-License-Identifier: Apache-2.0
"""Make the disk image of a spec without a build around it: in one go, its root, or by layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from goldsmith.containers import bundler, policy
from goldsmith.core.runs import Run
from goldsmith.host import partitions
from goldsmith.image import dib, packages, prepare
from goldsmith.image.dib_plan import DibPlan
from goldsmith.kubernetes import kubelet
from goldsmith.layers import assembly, root
from goldsmith.layers.root import Made, RootLayer
from goldsmith.provenance import spec_lock
from goldsmith.spec import load
from goldsmith.spec.model import ImageSpec


class Images:
    """Images of a shipped spec, changed; all from the same kubelet, bundle, index and UUID of the root."""

    def __init__(self, name: str, run: Run, change: Callable[[ImageSpec], ImageSpec] | None = None) -> None:
        loaded = load.load(name, {})
        self.run, self.log = run, run.folder / "images.log"
        self.spec = loaded.spec if change is None else change(loaded.spec)
        self.loaded = replace(loaded, spec=self.spec)
        spec = self.spec
        assert spec.kubelet is not None
        self.binary = kubelet.obtain(spec.kubelet, spec.arch, run=run, log_path=self.log)
        self.index = spec_lock.index_states(spec, None)[spec.release]
        self.bundle = bundler.export(
            spec.containers, layers=spec.layers, arch=spec.arch, run=run, log_path=self.log,
            policy=policy.of_spec(spec),
        )  # fmt: skip
        self.schema = kubelet.pod_schema(spec.kubelet)
        self.parts_of_root = root.parts_of(
            self.loaded, index=self.index, binary=self.binary, mapper=partitions.partition_mapper()
        )

    def plan(self, folder: str, *, root_layer: bool = False) -> DibPlan:
        """A call of diskimage-builder, in a new folder of the run."""
        scratch = self.run.folder / folder
        scratch.mkdir()
        return prepare.make(
            self.loaded, scratch, binary=self.binary, bundle=self.bundle, pod_schema=self.schema,
            index=self.index, root_uuid=root.uuid_of(self.parts_of_root), root_layer=root_layer,
        )  # fmt: skip

    def in_one_go(self, folder: str) -> Path:
        """The image as diskimage-builder makes it."""
        return dib.build(self.plan(folder), log_path=self.log)

    def root(self, folder: str, *, again: bool = False) -> RootLayer:
        """The root, from the cache if it is there; again: made in any case."""

        def make() -> Made:
            disk = dib.build(self.plan(folder, root_layer=True), log_path=self.log)
            listed = self.run.folder / folder / "identity" / packages.FILE
            return Made(disk=disk, packages=listed, log=self.log, epoch=self.index.epoch)

        return root.obtain(self.parts_of_root, make, again=again)

    def by_layers(self, folder: str, layer: RootLayer) -> Path:
        """The image on a copy of a root."""
        plan, scratch = self.plan(folder), self.run.folder / folder
        parts = assembly.Parts(
            plan=plan, elements=scratch / "elements", identity=scratch / "identity", bundle=self.bundle,
            pod_schema=self.schema,
        )  # fmt: skip
        return assembly.assemble(self.spec, layer, parts, scratch, log_path=self.log)
