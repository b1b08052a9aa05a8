# SPDX-License-Identifier: Apache-2.0
"""Derive the desired release in each cloud from a spec and its build. Pure, but for OS_CLOUD, OS_AUTH_URL."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from goldsmith.errors import PublishError
from goldsmith.image.finished_build import Build, DiskFile
from goldsmith.image.manifest import Manifest
from goldsmith.publish.model import DesiredRelease
from goldsmith.publish.release import ReleaseLine
from goldsmith.spec import virtual_hardware
from goldsmith.spec.model import Distribution, ImageSpec, PublishCloud, Visibility

_VERSIONS = {"bookworm": "12", "trixie": "13"}  # os_version is the number of a release


def line_of(spec: ImageSpec) -> ReleaseLine:
    """The release line of a spec, the same in all clouds."""
    rules = spec.publish
    return ReleaseLine(
        name=spec.name, alias=rules.alias or spec.name, protected=rules.protected, keep=rules.keep,
        retired=rules.retired,
    )  # fmt: skip


def clouds_of(spec: ImageSpec, names: Sequence[str]) -> tuple[PublishCloud, ...]:
    """The named clouds, as the spec has them; without names all of the spec's, else the environment's."""
    known = {cloud.name: cloud for cloud in spec.publish.clouds}
    if names:
        return tuple(known.get(name) or PublishCloud(name=name) for name in dict.fromkeys(names))
    if known:
        return tuple(known.values())
    if os.environ.get("OS_CLOUD") or os.environ.get("OS_AUTH_URL"):
        return (PublishCloud(name=os.environ.get("OS_CLOUD", "")),)
    return ()


def release(
    spec: ImageSpec,
    line: ReleaseLine,
    cloud: PublishCloud,
    build: Build,
    disk: DiskFile,
    signature: Mapping[str, str] | None = None,
    *,
    may_be_older: bool = False,
) -> DesiredRelease:
    """The desired release in a cloud.

    signature: the img_signature properties of this disk image, where it was signed for OpenStack.
    may_be_older: than the build that holds the alias.
    Raises PublishError for properties that ask for devices which the image has no drivers for.
    """
    _require_drivers(spec, build.manifest)
    visibility, members = visibility_in(spec, cloud)
    manifest = build.manifest
    return DesiredRelease(
        line=line, build_id=build.id, disk_format=disk.format, size=disk.size, sha256=disk.sha256,
        sha512=disk.sha512, min_disk=manifest.min_disk_gib, min_ram=manifest.min_ram_mib,
        visibility=visibility, standard=_standard(spec) | dict(signature or {}),
        properties=spec.publish.properties, tags=frozenset(spec.publish.tags), canary=cloud.canary,
        members=members, may_be_older=may_be_older,
    )  # fmt: skip


def visibility_in(spec: ImageSpec, cloud: PublishCloud) -> tuple[Visibility, frozenset[str]]:
    """Visibility of the releases in a cloud, and IDs of the projects that they are shared with."""
    visibility = cloud.visibility or spec.publish.visibility
    shares = spec.publish.share if visibility is Visibility.shared else ()
    return visibility, frozenset(shares)


def _require_drivers(spec: ImageSpec, manifest: Manifest) -> None:
    if not any(virtual_hardware.CLOUD_KERNEL in kernel for kernel in manifest.kernels):
        return
    for name in virtual_hardware.without_driver(spec.publish.properties):
        raise PublishError(
            f"{name}: {spec.publish.properties[name]} has no driver in {manifest.build_id}, which is for "
            "virtual hardware",
            hint="write hardware: any in the spec and build again, or change publish.properties",
        )


def _standard(spec: ImageSpec) -> dict[str, str]:
    """Properties that every OpenStack knows, from the spec."""
    found = {"hw_architecture": spec.arch.machine, "os_type": "linux"}
    if spec.distribution is not Distribution.custom:
        found |= {
            "os_distro": spec.distribution.value, "os_version": _VERSIONS.get(spec.release, spec.release),
        }  # fmt: skip
    return found
