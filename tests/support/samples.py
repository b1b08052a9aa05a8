# SPDX-License-Identifier: Apache-2.0
"""Complete documents of a small build, with changes that a test asks for."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from goldsmith.image.manifest import Manifest
from goldsmith.image.verdict import Verdict

DISK = b"a disk" * 400_000
BUILD_ID = "20260301T120000Z-abcdefa"


def sha(data: bytes, algorithm: str = "sha256") -> str:
    """Hex digest of data."""
    return hashlib.new(algorithm, data).hexdigest()


def disk(file: str = "mine-amd64.qcow2", content: bytes = DISK) -> dict[str, Any]:
    """An entry of a manifest's disks."""
    return {
        "file": file, "format": file.rpartition(".")[2], "size": len(content), "virtual_size": 1 << 30,
        "sha256": sha(content), "sha512": sha(content, "sha512"),
    }  # fmt: skip


def verdict(**changes: Any) -> dict[str, Any]:
    """A verdict that passed, as the manifest holds it."""
    return {
        "result": "passed", "tests": 9, "failed": [], "skipped": [], "not_applicable": [],
        "uncovered_images": [], "image_sha256": sha(DISK), "accelerator": "tcg",
        "durations_s": {"sealed": 1.0, "boot": 2.0}, "pods_ready_s": None, "emulator_faults": 0, **changes,
    }  # fmt: skip


def manifest(**changes: Any) -> dict[str, Any]:
    """The manifest of a verified build of the spec mine, as JSON data."""
    return {
        "schema": "goldsmith.manifest", "version": 1, "name": "mine", "build_id": BUILD_ID,
        "created": "2026-03-01T12:05:00Z", "commit": "a" * 40, "dirty": False, "spec_sha256": "5" * 64,
        "tools": {"goldsmith": "0.1"}, "distribution": "debian", "release": "trixie", "arch": "amd64",
        "base_image": None, "packages": {"file": "packages.json", "count": 1}, "kernels": ["6.1"],
        "kubelet": None, "embed": "content-store", "containers": [], "accepted_unsigned": {},
        "elements": {"e": "1" * 64}, "disks": [disk()], "min_disk_gib": 1, "min_ram_mib": 512, "files": {},
        "verification": verdict(), "stages_s": {"image": 1.0}, **changes,
    }  # fmt: skip


def packages(*found: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """packages.json, as JSON data; by default with one package."""
    one = {"name": "bash", "version": "5.2", "architecture": "amd64", "sha256": "b" * 64, "suite": "trixie"}
    return {
        "schema": "goldsmith.packages", "version": 1, "kernels": ["6.1"], "packages": list(found or [one]),
        **changes,
    }  # fmt: skip


def image(ref: str = "a.test/a:1", **changes: Any) -> dict[str, Any]:
    """An entry of images.lock.json."""
    return {
        "ref": ref, "names": [ref], "digest": f"sha256:{sha(ref.encode())}", "index_digest": None,
        "config_digest": "sha256:" + "c" * 64, "media_type": "application/vnd.oci.image.manifest.v1+json",
        "size": 1, "layers": [], "source": "build", "into": "containerd", **changes,
    }  # fmt: skip


def images_lock(*images: dict[str, Any]) -> dict[str, Any]:
    """images.lock.json, as JSON data."""
    return {"schema": "goldsmith.images-lock", "version": 1, "images": list(images)}


def build(folder: Path, **changes: Any) -> Path:
    """A build folder as build-image leaves it, its manifest changed; returns the folder."""
    folder.mkdir(parents=True)
    (folder / "mine-amd64.qcow2").write_bytes(DISK)
    listed = json.dumps(packages())
    (folder / "packages.json").write_text(listed)
    files = {"packages.json": sha(listed.encode())}
    write(folder, manifest(**{"build_id": folder.name, "files": files, **changes}))
    return folder


def write(folder: Path, data: dict[str, Any]) -> None:
    """Write manifest.json."""
    (folder / "manifest.json").write_text(json.dumps(data))


def read(folder: Path) -> dict[str, Any]:
    """manifest.json as JSON data."""
    return dict(json.loads((folder / "manifest.json").read_text()))


def parsed(**changes: Any) -> Manifest:
    """The manifest, typed."""
    return Manifest.parse(manifest(**changes), "manifest.json")


def judged(**changes: Any) -> Verdict:
    """The verdict, typed."""
    found = parsed(verification=verdict(**changes)).verification
    assert found is not None
    return found
