# SPDX-License-Identifier: Apache-2.0
"""Verified builds: the checks against the manifest, and the disk in other formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from goldsmith.errors import PublishError
from goldsmith.image import finished_build
from tests.support import samples
from tests.support.samples import DISK, sha


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """The folder of a verified build of the spec mine."""
    return samples.build(tmp_path / "out/mine" / samples.BUILD_ID)


def test_a_build_of_another_spec_is_refused_wherever_it_lies(build: Path) -> None:
    samples.write(build, {**samples.read(build), "name": "mine"})

    assert finished_build.read(build, name="mine").id == build.name
    with pytest.raises(PublishError, match="is a build of mine, not of prod"):
        finished_build.read(build, name="prod")


def test_a_good_build_is_read_and_its_disk_hashed(build: Path) -> None:
    disk = finished_build.disk(finished_build.read(build), "qcow2")

    assert (disk.size, disk.sha256, disk.sha512) == (
        len(DISK),
        sha(DISK),
        sha(DISK, "sha512"),
    )
    assert disk.hashed_by("md5") == sha(DISK, "md5")
    with pytest.raises(PublishError, match="no algorithm sm3000"):
        disk.hashed_by("sm3000")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"build_id": "other"}, "is the manifest of other"),
        ({"verification": None}, "was not verified"),
        ({"verification": samples.verdict(result="failed")}, "was not verified"),
        ({"verification": samples.verdict(result="quick")}, "was tested by --quick alone"),
        ({"verification": samples.verdict(image_sha256="x")}, "its verdict is on another disk image"),
        ({"files": {"packages.json": "x"}}, "packages.json differs from its manifest"),
        ({"files": {"gone.json": "x"}}, "gone.json differs from its manifest"),
        ({"disks": []}, "cannot use the manifest"),
    ],
)
def test_a_build_that_is_not_what_its_manifest_says(
    build: Path, change: dict[str, Any], message: str
) -> None:
    samples.write(build, {**samples.read(build), **change})

    with pytest.raises(PublishError, match=message):
        finished_build.read(build)


def test_a_disk_that_was_changed(build: Path) -> None:
    (build / "mine-amd64.qcow2").write_bytes(DISK[:-1] + b"x")

    with pytest.raises(PublishError, match="qcow2 differs from its manifest"):
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
