# SPDX-License-Identifier: Apache-2.0
"""manifest.json: the record of a build, and the interface for other programs."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from goldsmith.containers.images_lock import LockedImage
from goldsmith.core import build_folders
from goldsmith.core.documents import Document, about
from goldsmith.core.files import sha256_of
from goldsmith.host import python_packages
from goldsmith.host.python_packages import PackageDifference
from goldsmith.image import element_hashes, packages, qemu_img
from goldsmith.image.base_image import BaseImageRecord
from goldsmith.image.build_info import Identity
from goldsmith.image.disk import Disk
from goldsmith.image.element_hashes import ElementFile, Tree
from goldsmith.image.made_by import MadeBy
from goldsmith.image.packages import PackageList
from goldsmith.image.verdict import Verdict
from goldsmith.kubernetes.kubelet import KubeletRecord
from goldsmith.spec.model import ImageSpec

FILE = build_folders.MANIFEST
_TOOLS = ("goldsmith", "diskimage-builder", "docker", "jinja2", "invoke", "pytest-testinfra")


@dataclass(frozen=True, kw_only=True, slots=True)
class PackagesRef:
    """The package list in the build folder."""

    file: Annotated[str, about("Name of the file in the build folder.")]
    count: Annotated[int, about("Number of packages in it.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest(Document):
    """A build: what it was made of, what came out and how it was verified. No host paths, no secrets."""

    SCHEMA: ClassVar[str] = "goldsmith.manifest"
    OPTIONAL: ClassVar[frozenset[str]] = frozenset(
        (
            "accepted_indexes",
            "element_files",
            "verification",
            "stages_s",
            "started",
            "checkout",
            "made_by",
            "python_packages",
        )
    )

    name: Annotated[str, about("Name of the spec.")]
    build_id: Annotated[str, about("ID of the build, the name of its folder: UTC time and short commit.")]
    started: Annotated[str | None, about("Time the build began, UTC, ISO 8601; absent in old builds.")] = None
    created: Annotated[str, about("Time the disk images were finished, UTC, ISO 8601.")]
    made_by: Annotated[MadeBy | None, about("The goldsmith that made it; absent in old builds.")] = None
    commit: Annotated[
        str, about("Commit of the project's files, 40 hex digits (12 in old builds), or nogit.")
    ]
    checkout: Annotated[
        str | None, about("URI of what was checked out: git+URL@REF, without login; absent without a remote.")
    ] = None
    dirty: Annotated[
        bool, about("Whether they had uncommitted changes, or files of an installed goldsmith were changed.")
    ]
    spec_sha256: Annotated[str, about("Hex sha256 of the rendered spec, spec.yaml.")]
    tools: Annotated[Mapping[str, str], about("Versions of the tools that built the image.")]
    python_packages: Annotated[
        tuple[PackageDifference, ...] | None,
        about("Python packages that goldsmith ran with and that differ from requirements.lock; absent in old"
              " builds."),
    ] = None  # fmt: skip
    distribution: Annotated[str, about("Distribution: debian, fedora or custom.")]
    release: Annotated[str, about("Release of the distribution.")]
    arch: Annotated[str, about("Architecture: amd64 or arm64.")]
    base_image: Annotated[BaseImageRecord | None, about("The cloud image it started from; null without one.")]
    packages: Annotated[PackagesRef, about("Where the package list is.")]
    kernels: Annotated[tuple[str, ...], about("Versions of the kernels in the image.")]
    kubelet: Annotated[KubeletRecord | None, about("The kubelet and its origin; null without one.")]
    embed: Annotated[str, about("How container images are embedded: content-store, archive or unpacked.")]
    containers: Annotated[tuple[LockedImage, ...], about("The container images in the image.")]
    elements: Annotated[Mapping[str, str], about("Hex sha256 of each element.")]
    disks: Annotated[tuple[Disk, ...], about("The disk images; the first one was verified.", min_length=1)]
    min_disk_gib: Annotated[int, about("GiB that a server's disk needs.")]
    min_ram_mib: Annotated[int, about("MiB of memory that a server needs.")]
    files: Annotated[Mapping[str, str], about("Hex sha256 of the other files in the build folder.")]
    accepted_unsigned: Annotated[
        Mapping[str, str], about("Container images without signature that were accepted: reference, reason.")
    ] = field(default_factory=dict)
    accepted_indexes: Annotated[
        tuple[str, ...] | None,
        about("Package indexes that were accepted though they are not the newest: a sentence for each; absent"
              " without one."),
    ] = None  # fmt: skip
    element_files: Annotated[
        Mapping[str, Mapping[str, ElementFile]] | None,
        about("Files of each element by their paths in it; absent in old builds."),
    ] = None
    verification: Annotated[Verdict | None, about("The verdict; absent until verified.")] = None
    stages_s: Annotated[
        Mapping[str, float] | None, about("Seconds of each stage; absent until verified.")
    ] = None

    @property
    def disk(self) -> Disk:
        """The disk image that was verified."""
        return self.disks[0]

    def verified(self, verdict: Verdict, stages_s: Mapping[str, float], files: Mapping[str, str]) -> Manifest:
        """The final manifest. files: hashes of the files that the verification wrote."""
        return dataclasses.replace(
            self, verification=verdict, stages_s=dict(stages_s), files={**self.files, **files}
        )


def of_build(
    spec: ImageSpec,
    identity: Identity,
    folder: Path,
    *,
    disks: Sequence[Disk],
    kubelet: KubeletRecord | None,
    images: Sequence[LockedImage],
    elements: Mapping[str, Tree],
    base_image: BaseImageRecord | None,
    accepted_unsigned: Mapping[str, str],
    accepted_indexes: Sequence[str] = (),
) -> Manifest:
    """The manifest of the build in a folder, still without verdict and timings. elements: files of each."""
    listed, started = PackageList.read(folder / packages.FILE), build_folders.started(identity.build_id)
    return Manifest(
        name=identity.name, build_id=identity.build_id,
        started=_time(started) if started else None,
        created=_time(datetime.datetime.now(datetime.UTC)),
        made_by=identity.made_by, commit=identity.commit, checkout=identity.checkout, dirty=identity.dirty,
        spec_sha256=identity.spec_sha256,
        tools=tool_versions(), python_packages=python_packages.differences(),
        distribution=spec.distribution.value, release=spec.release, arch=spec.arch.value,
        base_image=base_image,
        packages=PackagesRef(file=packages.FILE, count=len(listed.packages)),
        kernels=listed.kernels,
        kubelet=kubelet,
        embed=spec.embed.value,
        containers=tuple(images),
        accepted_unsigned=dict(accepted_unsigned),
        accepted_indexes=tuple(accepted_indexes) or None,
        elements={name: element_hashes.sha256_of_tree(tree) for name, tree in elements.items()},
        element_files=elements,
        disks=tuple(disks),
        min_disk_gib=_gib(disks),
        min_ram_mib=spec.min_ram_mib,
        files=_hashed_files(folder),
    )  # fmt: skip


def _gib(disks: Sequence[Disk]) -> int:
    return math.ceil(max(disk.virtual_size for disk in disks) / 1024**3)


def _time(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _hashed_files(build: Path) -> dict[str, str]:
    files = [path for path in sorted(build.iterdir()) if path.is_file()]
    return {path.name: sha256_of(path) for path in files if path.suffix in {".json", ".yaml"}}


def tool_versions() -> dict[str, str]:
    """Versions of the tools that build images here."""
    versions = {name: importlib.metadata.version(name) for name in _TOOLS}
    return {**versions, "qemu-img": qemu_img.version()}
