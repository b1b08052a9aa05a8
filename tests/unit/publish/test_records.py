# SPDX-License-Identifier: Apache-2.0
"""What publishing is made of besides the plan: builds, records, journal, properties, bodies, notes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from goldsmith.errors import PublishError
from goldsmith.image import finished_build
from goldsmith.publish import build_diff, records
from goldsmith.publish.records import Records

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


def manifest_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "manifest.json").read_text()))


def test_a_record_says_what_the_build_folder_says(build: Path, tmp_path: Path) -> None:
    read = finished_build.read(build)
    disk = finished_build.disk(read, "qcow2")
    held = {"size": 1, "hash_algo": "sha512", "hash_value": "aa"}
    kept = Records(out=tmp_path / "no builds", name="mine", folder=tmp_path / "records")
    assert kept.get(read.id) is None

    kept.put(read.id, records.record(read, disk, held))

    found = kept.get(read.id)
    assert found is not None
    assert (found["manifest"], found["glance"]) == (manifest_of(build), held)
    beside = records.beside(build)
    assert beside is not None
    assert build_diff.between(found, beside).is_empty
    assert records.record(read, disk, held) == records.record(read, disk, held)


def test_what_is_no_record_is_said(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="the file x is no record of a release"):
        records.parse(b"nothing", "the file x")
