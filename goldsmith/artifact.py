# SPDX-License-Identifier: Apache-2.0
"""What a build leaves behind: the disks with their hashes, build.json, the manifest, `latest`."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import importlib.metadata
import json
import math
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from diskimage_builder import element_dependencies

from goldsmith import hashing, locks, proc, sealed
from goldsmith.errors import BuildError, CommandError, HostError
from goldsmith.spec import DiskFormat, ImageSpec
from goldsmith.workspace import LATEST, is_verified, sha256_of, write_atomically

BUILD_SCHEMA, MANIFEST_SCHEMA, TIMINGS_SCHEMA = "goldsmith.build", "goldsmith.manifest", "goldsmith.timings"


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Who a build is. commit: of the checkout, forty hex digits, or 'nogit'."""

    name: str
    build_id: str
    commit: str
    dirty: bool
    spec_sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Disk:
    """A finished disk image in the build folder; sizes in bytes."""

    file: str
    format: str
    sha256: str
    sha512: str
    size: int
    virtual_size: int


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
        "images_lock": sealed.LOCK_JSON if spec.containers else None,
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
    write_json(folder / "build.json", build)
    lines = f'IMAGE_ID="{build["name"]}"\nIMAGE_VERSION="{build["build_id"]}"\n'
    (folder / "os-release").write_text(lines)


def take_in(image: Path, spec: ImageSpec, build: Path) -> tuple[Disk, ...]:
    """Move the finished qcow2 into the build folder, make the other formats from it, hash them all.

    Another format counts only if qemu-img calls it identical; raises BuildError if it does not.
    """
    qcow2 = build / f"{spec.name}-{spec.arch}.qcow2"
    partial = qcow2.with_name(qcow2.name + ".part")
    shutil.move(image, partial)
    partial.rename(qcow2)
    disks = [_disk(qcow2, DiskFormat.qcow2)]
    if DiskFormat.raw in spec.disk.formats:
        raw = qcow2.with_suffix(".raw")
        partial = raw.with_name(raw.name + ".part")
        proc.capture(["qemu-img", "convert", "-O", "raw", qcow2, partial], timeout_s=900)
        partial.rename(raw)
        try:
            proc.capture(["qemu-img", "compare", "-f", "qcow2", "-F", "raw", qcow2, raw], timeout_s=900)
        except CommandError as e:
            raise BuildError(f"{raw.name} differs from {qcow2.name}: {' '.join(e.tail)}") from e
        disks.append(_disk(raw, DiskFormat.raw))
    return tuple(disks)


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
        "disks": [_as_dict(disk) for disk in disks],
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
    qemu = proc.capture(["qemu-img", "--version"]).splitlines()[0]
    return {**versions, "qemu-img": qemu.split()[2]}


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


def write_sums(build: Path, disks: Iterable[Disk]) -> None:
    """NAME.sha256 beside each disk, in the format that sha256sum --check reads."""
    for disk in disks:
        write_atomically(build / f"{disk.file}.sha256", f"{disk.sha256}  {disk.file}\n".encode())


def write_json(path: Path, value: object) -> None:
    """A JSON file with sorted keys, whole or not at all."""
    write_atomically(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def move_latest(build: Path) -> bool:
    """Point `latest` at a verified build, in one step; false where a newer one has it already."""
    if not is_verified(build):
        raise BuildError(f"{build} is not verified; latest stays where it is")
    latest = build.parent / LATEST
    with locks.locked(build.parent / ".latest.lock", wait=True):
        with contextlib.suppress(OSError):
            if latest.readlink().name > build.name and latest.exists():
                return False
        new = build.parent / ".latest.new"
        new.unlink(missing_ok=True)
        new.symlink_to(build.name)
        new.replace(latest)
    return True


def _disk(path: Path, format_: DiskFormat) -> Disk:
    sha256, sha512, size = hashing.of_disk(path)
    info = json.loads(proc.capture(["qemu-img", "info", "--output=json", "-f", format_.value, path]))
    return Disk(
        file=path.name, format=format_.value, sha256=sha256, sha512=sha512, size=size,
        virtual_size=int(info["virtual-size"]),
    )  # fmt: skip


def _as_dict(disk: Disk) -> dict[str, Any]:
    return {
        "file": disk.file, "format": disk.format, "sha256": disk.sha256, "sha512": disk.sha512,
        "size": disk.size, "virtual_size": disk.virtual_size,
    }  # fmt: skip
