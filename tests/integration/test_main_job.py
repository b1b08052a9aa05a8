# SPDX-License-Identifier: Apache-2.0
"""The main job as the README has it: a spec, one command, a verified image."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from inv import inv

from goldsmith import workspace

pytestmark = pytest.mark.integration

FILES = {
    "debian-kubelet-amd64.qcow2", "debian-kubelet-amd64.qcow2.sha256", "manifest.json", "spec.yaml",
    "images.lock.json", "packages.json", "build.log", "console.log", "junit.xml", "timings.json",
}  # fmt: skip


def test_build_leaves_all_its_files_under_latest(built: dict[str, Any], out: Path) -> None:
    latest = out / "debian-kubelet" / "latest"

    assert latest.is_symlink()
    assert latest.resolve() == Path(built["folder"])
    assert {path.name for path in latest.iterdir()} == FILES


def test_manifest_says_verified_and_names_the_hash_of_the_file(built: dict[str, Any]) -> None:
    folder = Path(built["folder"])
    manifest = json.loads((folder / "manifest.json").read_text())
    disk = manifest["disks"][0]

    assert manifest == built["manifest"]
    assert manifest["verification"]["result"] == "passed"
    assert manifest["verification"]["tests"] > 50
    assert manifest["verification"]["skipped"] == []
    with (folder / disk["file"]).open("rb") as image:
        assert hashlib.file_digest(image, "sha256").hexdigest() == disk["sha256"]
    for name, digest in manifest["files"].items():
        assert workspace.sha256_of(folder / name) == digest, name


def test_every_package_has_a_hash_and_a_suite(built: dict[str, Any]) -> None:
    packages = json.loads((Path(built["folder"]) / "packages.json").read_text())["packages"]

    assert len(packages) > 150
    assert [p["name"] for p in packages if not p["sha256"] or not p["suite"]] == []


def test_nothing_is_made_again_from_an_unchanged_spec(built: dict[str, Any], out: Path) -> None:
    """Without the mirrors: they may have got news since the build, and then anew would be right."""
    nobody = "http://127.0.0.1:1"
    before = time.monotonic()
    bundle = inv(
        "export-images", out=out, GOLDSMITH_DEBIAN_MIRROR=nobody, GOLDSMITH_DEBIAN_SECURITY_MIRROR=nobody
    )

    assert bundle["reused"] is True
    assert time.monotonic() - before < 15
    assert [i["digest"] for i in bundle["images"]] == [i["digest"] for i in built["manifest"]["containers"]]


def test_nothing_of_the_run_is_left_on_the_host(built: dict[str, Any]) -> None:
    mounts = Path("/proc/self/mountinfo").read_text()
    backing = [path.read_text() for path in Path("/sys/block").glob("loop*/loop/backing_file")]

    assert str(workspace.scratch_root()) not in mounts
    assert [file for file in backing if str(workspace.scratch_root()) in file] == []
