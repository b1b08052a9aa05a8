# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.errors import BuildError
from goldsmith.image.disk import take_in, write_sums
from goldsmith.spec.model import ContainerSpec, DiskFormat, DiskSpec, Distribution, ImageSpec, VerifySpec

QEMU_IMG = """
case $1 in
    info) echo '{"virtual-size": 2147483649}' ;;
    convert) cp "$5" "$6" ;;
    --version) echo "qemu-img version 7.2.0 (Debian)" ;;
esac
"""
POD = {"metadata": {"name": "web"}}
SPEC = ImageSpec(
    name="mine", distribution=Distribution.debian, release="trixie",
    containers=(ContainerSpec(ref="a.b/app:1"),), verify=VerifySpec(pods=(POD,)),
)  # fmt: skip
BOTH = dataclasses.replace(SPEC, disk=DiskSpec(formats=(DiskFormat.qcow2, DiskFormat.raw)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "out" / "mine" / "20260101T000000Z-abc"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "scratch.qcow2"
    path.write_bytes(b"disk")
    return path


def test_the_image_is_moved_in_and_hashed(fake: Callable[..., Path], image: Path, folder: Path) -> None:
    fake("qemu-img", QEMU_IMG)

    (disk,) = take_in(image, SPEC, folder)

    assert not image.exists()
    assert (folder / disk.file).read_bytes() == b"disk"
    assert disk.file == "mine-amd64.qcow2"
    assert disk.sha256 == hashlib.sha256(b"disk").hexdigest()
    assert disk.sha512 == hashlib.sha512(b"disk").hexdigest()
    assert (disk.size, disk.virtual_size) == (4, 2147483649)


def test_another_format_is_converted_and_compared(
    fake: Callable[..., Path], image: Path, folder: Path
) -> None:
    calls = fake("qemu-img", QEMU_IMG)

    disks = take_in(image, BOTH, folder)

    assert [disk.format for disk in disks] == ["qcow2", "raw"]
    compared = f"compare -p -f qcow2 -F raw {folder}/mine-amd64.qcow2 {folder}/mine-amd64.raw"
    assert compared in calls.read_text().splitlines()
    assert sorted(path.suffix for path in folder.iterdir()) == [".qcow2", ".raw"]


def test_a_format_that_differs_is_refused(fake: Callable[..., Path], image: Path, folder: Path) -> None:
    fake("qemu-img", QEMU_IMG.replace("info)", "compare) echo Content mismatch >&2; exit 1 ;;\n    info)"))

    with pytest.raises(BuildError, match=r"mine-amd64\.raw differs from mine-amd64\.qcow2: Content"):
        take_in(image, BOTH, folder)


@pytest.mark.programs("sha256sum")
def test_sha256sum_accepts_the_checksum_files(fake: Callable[..., Path], image: Path, folder: Path) -> None:
    fake("qemu-img", QEMU_IMG)
    disks = take_in(image, BOTH, folder)

    write_sums(folder, disks)

    for disk in disks:
        argv = ["sha256sum", "--check", "--strict", f"{disk.file}.sha256"]
        assert subprocess.run(argv, cwd=folder, capture_output=True, check=False).returncode == 0
