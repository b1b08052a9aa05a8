# SPDX-License-Identifier: Apache-2.0
"""What publishing is made of besides the plan: builds, records, journal, properties, bodies, notes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from goldsmith import clean
from goldsmith.errors import PublishError
from goldsmith.publish import journal
from goldsmith.publish.journal import Journal

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


def test_what_was_begun_and_not_ended_is_known_to_this_project_alone(build: Path) -> None:
    mine = Journal(folder=build.parent, cloud="prod", project="p1")
    mine.begin(build.name, "i1", "word")
    assert mine.begun() == {"word"}
    assert dataclasses.replace(mine, project="p2").begun() == frozenset()
    assert dataclasses.replace(mine, cloud="other").begun() == frozenset()

    mine.end(build.name, "i1", 4)
    assert mine.begun() == frozenset()
    assert clean.clean_builds(build.parent, keep=0) == []  # a published build is kept

    mine.forget_image("i1")
    assert not list(build.glob("publish-*"))


def test_a_build_that_is_not_here_is_not_noted(tmp_path: Path) -> None:
    Journal(folder=tmp_path, cloud="prod", project="p1").begin("elsewhere", "i1", "word")

    assert list(tmp_path.iterdir()) == []


def test_a_rollback_that_was_broken_off_is_remembered(tmp_path: Path) -> None:
    mine = Journal(folder=tmp_path, cloud="a cloud/1", project="p1")
    assert mine.unfinished_rollback("b2") == ""
    mine.begin_rollback("b1", "b2")
    assert mine.unfinished_rollback("b2") == mine.unfinished_rollback("b1") == "b1"
    assert mine.unfinished_rollback("b3") == "", "another release was published since"
    mine.end_rollback()
    assert mine.unfinished_rollback("b2") == ""


def test_one_spec_is_published_to_one_cloud_once_at_a_time(tmp_path: Path) -> None:
    with journal.locked(tmp_path / "mine", "prod"):
        with journal.locked(tmp_path / "mine", "other"):
            pass
        with pytest.raises(PublishError, match="mine is being published by another process"):
            journal.locked(tmp_path / "mine", "prod").__enter__()
    with journal.locked(tmp_path / "mine", "prod"):
        pass
