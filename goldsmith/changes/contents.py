# SPDX-License-Identifier: Apache-2.0
"""What a build contains, as far as it was recorded: what two builds are compared by. None: not recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.containers.images_lock import LockedImage
from goldsmith.image.base_image import BaseImageRecord
from goldsmith.image.element_hashes import ElementFile
from goldsmith.image.manifest import Manifest
from goldsmith.image.packages import Package, PackageList
from goldsmith.kubernetes.kubelet import KubeletRecord
from goldsmith.scan import sbom

SpecKeys = Mapping[str, str]  # see spec_keys
ContainerPackages = Mapping[str, Mapping[str, str]]  # reference -> package -> its versions


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """The contents of one build. size: bytes of its disk image."""

    build_id: str
    size: int | None
    spec_sha256: str
    spec: SpecKeys | None
    settings: SpecKeys  # keys of the spec that every manifest has
    base_image: BaseImageRecord | None
    kernels: tuple[str, ...] | None
    kubelet: KubeletRecord | None
    containers: tuple[LockedImage, ...] | None
    container_packages: ContainerPackages | None
    packages: tuple[Package, ...] | None
    elements: Mapping[str, str]
    element_files: Mapping[str, Mapping[str, ElementFile]] | None


def of_records(
    manifest: Manifest, listed: PackageList, *, spec: SpecKeys | None, inside: ContainerPackages | None
) -> Contents:
    """The contents of a finished build. listed: its packages; inside: those in its container images."""
    return Contents(
        build_id=manifest.build_id, size=manifest.disk.size, spec_sha256=manifest.spec_sha256, spec=spec,
        settings={
            "arch": manifest.arch, "distribution": manifest.distribution, "embed": manifest.embed,
            "release": manifest.release,
        },
        base_image=manifest.base_image, kernels=manifest.kernels, kubelet=manifest.kubelet,
        containers=manifest.containers, container_packages=inside, packages=listed.packages,
        elements=manifest.elements, element_files=manifest.element_files,
    )  # fmt: skip


def container_packages(folder: Path) -> dict[str, dict[str, str]] | None:
    """The packages in each container image, by the bill of materials of a build folder; None without one.

    An image whose packages the bill does not know is left out.
    """
    try:
        parts = sbom.parsed(folder / sbom.FILE).get("components", ())
        return {part["name"]: _versions(part) for part in parts if _is_read(part)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _is_read(part: Mapping[str, Any]) -> bool:
    properties = {each["name"] for each in part.get("properties", ())}
    return part["type"] == "container" and "goldsmith:unread" not in properties


def _versions(part: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for each in part.get("components", ()):
        if each["type"] == "library":
            found.setdefault(each["name"], set()).add(each["version"])
    return {name: ", ".join(sorted(versions)) for name, versions in sorted(found.items())}
