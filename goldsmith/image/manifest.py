# SPDX-License-Identifier: Apache-2.0
"""What a build leaves behind: the disks with their hashes, build.json, the manifest, `latest`."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from diskimage_builder import element_dependencies

from goldsmith.core import files, proc
from goldsmith.core.files import sha256_of
from goldsmith.errors import CommandError, HostError
from goldsmith.image import mount, qemu_img
from goldsmith.image.disk import Disk, as_dict
from goldsmith.spec.model import ImageSpec

BUILD_SCHEMA, MANIFEST_SCHEMA, TIMINGS_SCHEMA = "goldsmith.build", "goldsmith.manifest", "goldsmith.timings"


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Who a build is. commit: of the checkout, forty hex digits, or 'nogit'."""

    name: str
    build_id: str
    commit: str
    dirty: bool
    spec_sha256: str


def commit_of(checkout: Path) -> tuple[str, bool]:
    """The checkout's commit, and whether its tree differs from it, or may."""
    git = ("git", "-c", "safe.directory=*", "-C", checkout)
    try:
        commit = proc.capture((*git, "rev-parse", "HEAD")).strip()
        return commit, bool(proc.capture((*git, "status", "--porcelain")).strip())
    except (CommandError, HostError):  # no repository, or no git
        return "nogit", True  # nobody knows what it was built from


def build_json(spec: ImageSpec, identity: Identity, kubelet: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the image will say it is; verification takes its expectations from this alone."""
    return {
        "schema": BUILD_SCHEMA,
        "version": 1,
        "name": identity.name,
        "build_id": identity.build_id,
        "commit": identity.commit,
        "spec_sha256": identity.spec_sha256,
        "distribution": spec.distribution.value,
        "release": spec.release,
        "arch": spec.arch.value,
        "embed": spec.embed.value,
        "images_lock": mount.LOCK_JSON if spec.containers else None,
        "kubelet": None if kubelet is None else {k: kubelet[k] for k in ("version", "source", "sha256")},
        "heat_agent": None if spec.heat_agent is None else {"hooks": list(spec.heat_agent.hooks)},
        "mirror": spec.mirror,
        "unattended_upgrades": spec.unattended_upgrades,
        "verify": {
            "boot_deadline_s": spec.verify.boot_deadline_s,
            "pods_deadline_s": spec.verify.pods_deadline_s,
            "memory_mib": spec.verify.memory_mib,
            "cpus": spec.verify.cpus,
            "pods": list(spec.verify.pods),
            "allow_secrets": [asdict(each) for each in spec.verify.allow_secrets],
        },
    }


def write_identity(folder: Path, build: Mapping[str, Any]) -> None:
    """The folder that the element goldsmith-identity takes its files from."""
    folder.mkdir()
    files.write_json(folder / "build.json", build)
    lines = f'IMAGE_ID="{build["name"]}"\nIMAGE_VERSION="{build["build_id"]}"\n'
    (folder / "os-release").write_text(lines)


def manifest(
    spec: ImageSpec,
    identity: Identity,
    build: Path,
    *,
    disks: Sequence[Disk],
    kubelet: Mapping[str, Any] | None,
    images: Sequence[Mapping[str, Any]],
    elements: Mapping[str, str],
    base_image: Mapping[str, str] | None,
    accepted_unsigned: Mapping[str, str],
) -> dict[str, Any]:
    """The record of a build, all but its verification and timings. No host paths, no secrets."""
    packages = json.loads((build / "packages.json").read_text())
    return {
        "schema": MANIFEST_SCHEMA,
        "version": 1,
        "name": identity.name,
        "build_id": identity.build_id,
        "created": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": identity.commit,
        "dirty": identity.dirty,
        "spec_sha256": identity.spec_sha256,
        "tools": tool_versions(),
        "distribution": spec.distribution.value,
        "release": spec.release,
        "arch": spec.arch.value,
        "base_image": base_image,
        "packages": {"file": "packages.json", "count": len(packages["packages"])},
        "kernels": packages["kernels"],
        "kubelet": kubelet,
        "embed": spec.embed.value,
        "containers": list(images),
        "accepted_unsigned": dict(accepted_unsigned),
        "elements": dict(elements),
        "disks": [as_dict(disk) for disk in disks],
        "min_disk_gib": math.ceil(max(disk.virtual_size for disk in disks) / 1024**3),
        "min_ram_mib": spec.min_ram_mib,
        "files": _hashed_files(build),
    }


def _hashed_files(build: Path) -> dict[str, str]:
    files = [path for path in sorted(build.iterdir()) if path.is_file()]
    return {path.name: sha256_of(path) for path in files if path.suffix in {".json", ".yaml"}}


def tool_versions() -> dict[str, str]:
    """The versions of what builds images here."""
    packages = ("goldsmith", "diskimage-builder", "docker", "jinja2", "invoke", "pytest-testinfra")
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {**versions, "qemu-img": qemu_img.version()}


def element_hashes(names: Iterable[str], folders: Sequence[Path]) -> dict[str, str]:
    """Element -> sha256 over its files (path, mode, content), for names and all they depend on."""
    builtin = Path(str(element_dependencies.__file__)).parent / "elements"
    path = ":".join(str(folder) for folder in [*folders, builtin])
    found = element_dependencies.get_elements(list(names), path)
    return {name: tree_sha256(Path(path)) for name, path in sorted(found)}


def tree_sha256(folder: Path) -> str:
    """Hex sha256 over a folder's files: relative path, whether executable, content."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            mode = "x" if os.access(path, os.X_OK) else "-"
            digest.update(f"{path.relative_to(folder)}\0{mode}\0{sha256_of(path)}\n".encode())
    return digest.hexdigest()
