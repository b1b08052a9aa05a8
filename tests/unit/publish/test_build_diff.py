# SPDX-License-Identifier: Apache-2.0
"""What publishing is made of besides the plan: builds, records, journal, properties, bodies, notes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from goldsmith.publish import build_diff, records

DISK = b"a disk" * 400_000


def sha(data: bytes, algorithm: str = "sha256") -> str:
    return hashlib.new(algorithm, data).hexdigest()


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A build folder as build-image leaves it."""
    folder = tmp_path / "out/mine/20260301T120000Z-abcdefa"
    folder.mkdir(parents=True)
    (folder / "mine-amd64.qcow2").write_bytes(DISK)
    packages = json.dumps({"packages": [{"name": "bash", "version": "5.2"}], "kernels": ["6.1"]})
    (folder / "packages.json").write_text(packages)
    disk = {
        "file": "mine-amd64.qcow2", "format": "qcow2", "size": len(DISK), "virtual_size": 1 << 30,
        "sha256": sha(DISK), "sha512": sha(DISK, "sha512"),
    }  # fmt: skip
    write(
        folder,
        {
            "build_id": folder.name, "disks": [disk], "files": {"packages.json": sha(packages.encode())},
            "verification": {"result": "passed", "image_sha256": disk["sha256"]}, "containers": [],
            "elements": {"e": "1"}, "kernels": ["6.1"], "kubelet": None, "min_disk_gib": 1,
            "min_ram_mib": 512,
        },
    )  # fmt: skip
    return folder


def write(folder: Path, manifest: dict[str, Any]) -> None:
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_the_notes_say_what_changed(build: Path) -> None:
    new = records.beside(build)
    assert new is not None
    old = json.loads(json.dumps(new))
    old["manifest"] |= {
        "build_id": "old", "kernels": ["6.0"], "kubelet": {"version": "1.34.1", "source": "go-module"},
        "containers": [{"ref": "a/nginx:1", "digest": f"sha256:{'a' * 64}"}], "elements": {"e": "2"},
    }  # fmt: skip
    new["manifest"]["containers"] = [{"ref": "a/nginx:1", "digest": f"sha256:{'b' * 64}"}]
    old["packages"]["packages"] = [{"name": "bash", "version": "5.1"}, {"name": "dash", "version": "1"}]

    lines = build_diff.between(old, new).text().splitlines()

    assert lines[0] == f"{build.name}, after old"
    assert "    + 6.1" in lines
    assert "    - kubelet 1.34.1 (go-module)" in lines
    assert f"    ~ a/nginx:1 {'a' * 12} -> {'b' * 12}" in lines
    assert "    ~ bash 5.1 -> 5.2" in lines
    assert "    - dash 1" in lines
    assert "    ~ e 2 -> 1" in lines
