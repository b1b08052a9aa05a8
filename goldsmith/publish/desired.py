# SPDX-License-Identifier: Apache-2.0
"""What a spec wishes of its releases, in each cloud. Pure, but for the environment's cloud."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from goldsmith.image.finished_build import Build, DiskFile
from goldsmith.publish.release import Line, Wanted
from goldsmith.spec.model import Distribution, ImageSpec, PublishCloud, Visibility

_VERSIONS = {"bookworm": "12", "trixie": "13"}  # os_version is the number of a release


def line_of(spec: ImageSpec) -> Line:
    """The releases of a spec, whatever cloud they are in."""
    rules = spec.publish
    return Line(
        name=spec.name, alias=rules.alias or spec.name, protected=rules.protected, keep=rules.keep,
        retired=rules.retired,
    )  # fmt: skip


def chosen(spec: ImageSpec, names: Sequence[str]) -> tuple[PublishCloud, ...]:
    """The clouds of these names as the spec has them, else all of the spec's, else the environment's."""
    known = {cloud.name: cloud for cloud in spec.publish.clouds}
    if names:
        return tuple(known.get(name) or PublishCloud(name=name) for name in dict.fromkeys(names))
    if known:
        return tuple(known.values())
    if os.environ.get("OS_CLOUD") or os.environ.get("OS_AUTH_URL"):
        return (PublishCloud(name=os.environ.get("OS_CLOUD", "")),)
    return ()


def wanted(
    spec: ImageSpec,
    line: Line,
    cloud: PublishCloud,
    build: Build,
    disk: DiskFile,
    signature: Mapping[str, str] | None = None,
) -> Wanted:
    """What the release has to be in a cloud. Raises SpecError where the spec cannot be met there.

    signature: the img_signature properties of this disk image, where it was signed for OpenStack.
    """
    visibility, members = seen_by(spec, cloud)
    manifest = build.manifest
    return Wanted(
        line=line, build_id=build.id, disk_format=disk.format, size=disk.size, sha256=disk.sha256,
        sha512=disk.sha512, min_disk=manifest.min_disk_gib, min_ram=manifest.min_ram_mib,
        visibility=visibility, standard=_standard(spec) | dict(signature or {}),
        properties=spec.publish.properties, tags=frozenset(spec.publish.tags), canary=cloud.canary,
        members=members,
    )  # fmt: skip


def seen_by(spec: ImageSpec, cloud: PublishCloud) -> tuple[Visibility, frozenset[str]]:
    """Who sees the releases in a cloud: their visibility, and IDs of projects where it is shared."""
    visibility = cloud.visibility or spec.publish.visibility
    shares = spec.publish.share if visibility is Visibility.shared else ()
    return visibility, frozenset(shares)


def _standard(spec: ImageSpec) -> dict[str, str]:
    """Properties that every OpenStack knows, from the spec."""
    found = {"hw_architecture": spec.arch.machine, "os_type": "linux"}
    if spec.distribution is not Distribution.custom:
        found |= {
            "os_distro": spec.distribution.value, "os_version": _VERSIONS.get(spec.release, spec.release),
        }  # fmt: skip
    return found
