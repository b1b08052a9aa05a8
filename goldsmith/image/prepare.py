# SPDX-License-Identifier: Apache-2.0
"""Plan the image stage from a spec, the results of earlier stages, and properties of this host."""

from __future__ import annotations

import dataclasses
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldsmith.apt import mirror
from goldsmith.apt.indexes import IndexState
from goldsmith.apt.mirror import Mirrors
from goldsmith.containers.bundler import Bundle
from goldsmith.core.files import TOOL_CACHES
from goldsmith.host import partitions, preflight
from goldsmith.image import build_info, dib_plan, hooks
from goldsmith.image.build_info import Identity
from goldsmith.kubernetes import kubelet
from goldsmith.kubernetes.kubelet import KubeletBinary
from goldsmith.spec import load
from goldsmith.spec.load import LoadedSpec
from goldsmith.spec.model import Distribution, HeatHook, ImageSpec, KubeletSource

_NOT_HASHED = shutil.ignore_patterns(*TOOL_CACHES)  # nor do they get into an image
_SPACE = uuid.UUID("0d5a4a1e-53c5-5a41-8f0e-6a4c0f6d2b77")  # namespace of the UUIDs of root file systems


def make(
    loaded: LoadedSpec,
    scratch: Path,
    *,
    binary: KubeletBinary | None,
    bundle: Bundle | None,
    identity: Identity | None = None,
    base_image: Path | None = None,
    pod_schema: Path | None = None,
    mirrors: Mirrors | None = None,
    index: IndexState | None = None,
    root_uuid: str = "",
    root_layer: bool = False,
) -> dib_plan.DibPlan:
    """The call of the image stage on this host. Writes elements and identity to scratch.

    mirrors: where Debian's packages come from; default: the mirrors of the host.
    index: of its packages; its date is the time stamp of files in the image, by default the current time.
    root_uuid: of the root file system; default: by the spec. root_layer: the plan of the root alone.
    """
    spec = loaded.spec
    who = identity or Identity(
        name=spec.name, build_id="none", commit="none", dirty=True, spec_sha256=loaded.sha256
    )
    build_info.write(scratch / "identity", build_info.of_spec(spec, who, kubelet.record(binary)))
    for folder in reversed(loaded.elements):  # of elements with the same name, the first one wins
        shutil.copytree(folder, scratch / "elements", symlinks=True, dirs_exist_ok=True, ignore=_NOT_HASHED)
    inputs = dib_plan.Inputs(
        elements=scratch / "elements", identity=scratch / "identity", scratch=scratch,
        bundle=None if bundle is None else bundle.path,
        lock=None if bundle is None else bundle.lock_path,
        kubelet=None if binary is None else binary.path,
        pod_schema=pod_schema, base_image=base_image, epoch=None if index is None else index.epoch,
        pinned_index=index is not None and index.pinned,
        root_uuid=root_uuid or str(uuid.uuid5(_SPACE, loaded.sha256)), root_layer=root_layer,
        blkpg=partitions.partition_mapper() == "blkpg", tmpfs=preflight.has_memory_to_build_in(),
        **_mirrors(spec, mirrors),
    )  # fmt: skip
    made = dib_plan.plan(spec, inputs)
    return dataclasses.replace(made, hooks=hooks.count(dib_plan.elements(spec), loaded.elements))


def plan(name: str, variables: Mapping[str, str]) -> tuple[LoadedSpec, dib_plan.DibPlan]:
    """The call that a build of this spec would make, without paths of the host. Changes nothing."""
    loaded = load.load(name, variables)
    spec = loaded.spec
    here = Path("SCRATCH")
    has_bundle = bool(spec.containers)
    inputs = dib_plan.Inputs(
        elements=here / "elements", identity=here / "identity", scratch=here,
        bundle=Path("BUNDLE") if has_bundle else None, lock=Path("LOCK") if has_bundle else None,
        kubelet=Path("KUBELET") if spec.kubelet else None,
        pod_schema=Path("POD-SCHEMA") if knows_pods(spec) else None,
        base_image=Path("BASE-IMAGE") if spec.base_image else None,
        debian_mirror=spec.mirror or "MIRROR", debian_security_mirror="SECURITY-MIRROR",
    )  # fmt: skip
    return loaded, dib_plan.plan(spec, inputs)


def knows_pods(spec: ImageSpec) -> bool:
    """Whether the image has a hook that validates pods against the schema of its kubelet's module."""
    wants = spec.heat_agent is not None and HeatHook.kubelet in spec.heat_agent.hooks
    return wants and spec.kubelet is not None and spec.kubelet.source is KubeletSource.go_module


def _mirrors(spec: ImageSpec, given: Mirrors | None) -> dict[str, Any]:
    if spec.distribution is not Distribution.debian:
        return {}
    found = given or mirror.find(spec.mirror)
    return {"debian_mirror": found.debian, "debian_security_mirror": found.security}
