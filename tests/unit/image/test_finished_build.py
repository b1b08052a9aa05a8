# SPDX-License-Identifier: Apache-2.0
"""What publishing is made of besides the plan: builds, records, journal, properties, bodies, notes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from goldsmith.errors import PublishError
from goldsmith.image import finished_build

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


def test_a_build_of_another_spec_is_refused_wherever_it_lies(build: Path) -> None:
    write(build, {**manifest_of(build), "name": "mine"})

    assert finished_build.read(build, name="mine").id == build.name
    with pytest.raises(PublishError, match="is a build of mine, not of prod"):
        finished_build.read(build, name="prod")


def test_a_good_build_is_read_and_its_disk_hashed(build: Path) -> None:
    disk = finished_build.disk(finished_build.read(build), "qcow2")

    assert (disk.size, disk.sha256, disk.sha512) == (len(DISK), sha(DISK), sha(DISK, "sha512"))
    assert disk.hashed_by("md5") == sha(DISK, "md5")
    with pytest.raises(PublishError, match="made by sm3000"):
        disk.hashed_by("sm3000")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"build_id": "other"}, "is that of other"),
        ({"verification": None}, "was not verified"),
        ({"verification": {"result": "failed", "image_sha256": "x"}}, "was not verified"),
        ({"verification": {"result": "passed", "image_sha256": "x"}}, "another disk was verified"),
        ({"files": {"packages.json": "x"}}, "packages.json is not what the manifest says"),
        ({"files": {"gone.json": "x"}}, "gone.json is not what the manifest says"),
        ({"disks": []}, "cannot use the manifest"),
    ],
)
def test_a_build_that_is_not_what_its_manifest_says(
    build: Path, change: dict[str, Any], message: str
) -> None:
    write(build, {**manifest_of(build), **change})

    with pytest.raises(PublishError, match=message):
        finished_build.read(build)


def test_a_disk_that_was_changed(build: Path) -> None:
    (build / "mine-amd64.qcow2").write_bytes(DISK[:-1] + b"x")

    with pytest.raises(PublishError, match="qcow2 is not what its manifest says"):
        finished_build.disk(finished_build.read(build), "qcow2")


def test_another_format_is_converted_compared_and_cached(build: Path, fake: Callable[..., Path]) -> None:
    calls = fake("qemu-img", 'for last; do :; done; [ "$1" = compare ] || printf raw > "$last"')
    read = finished_build.read(build)

    made = [finished_build.disk(read, "raw") for _ in range(2)]

    assert made[0] == made[1]
    assert (made[0].format, made[0].sha256) == ("raw", sha(b"raw"))
    assert [line.split()[0] for line in calls.read_text().splitlines()] == ["convert", "compare"]


def test_a_format_that_differs_is_not_used(build: Path, fake: Callable[..., Path]) -> None:
    fake(
        "qemu-img",
        'for last; do :; done; [ "$1" = compare ] && { echo differs; exit 1; }; printf x > "$last"',
    )

    with pytest.raises(
        PublishError, match=r"qcow2 cannot be converted to raw, or the two differ: qemu-img compare"
    ):
        finished_build.disk(finished_build.read(build), "raw")
