# SPDX-License-Identifier: Apache-2.0
"""The tiny image runs through all stages of the pipeline, without network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from goldsmith.core.files import sha256_of
from tests.support.tiny_builds import TinyPlace

pytestmark = pytest.mark.integration

FILES = {
    "tiny-amd64.qcow2", "tiny-amd64.qcow2.sha256", "manifest.json", "spec.yaml", "packages.json",
    "build.log", "console.log", "junit.xml", "timings.json", "sbom.cdx.json", "secrets.json", "lock.yaml",
    "inputs.json",
}  # fmt: skip


@pytest.fixture
def manifest(tiny_build: Path) -> dict[str, Any]:
    return dict(json.loads((tiny_build / "manifest.json").read_text()))


def test_a_build_has_exactly_its_files(tiny_build: Path) -> None:
    assert {path.name for path in tiny_build.iterdir()} == FILES


def test_manifest_names_the_bytes_that_were_verified(tiny_build: Path, manifest: dict[str, Any]) -> None:
    sha256 = sha256_of(tiny_build / "tiny-amd64.qcow2")

    assert manifest["verification"]["result"] == "passed"
    assert manifest["verification"]["image_sha256"] == manifest["disks"][0]["sha256"] == sha256


def test_verification_booted_and_rebooted(tiny_build: Path, manifest: dict[str, Any]) -> None:
    assert {"sealed", "boot", "booted", "reboot", "rebooted"} <= set(manifest["verification"]["durations_s"])
    assert (tiny_build / "console.log").read_text().count("tiny: golden is up") == 2


def test_the_verdict_lists_tests_that_do_not_apply(manifest: dict[str, Any]) -> None:
    assert any("no systemd" in line for line in manifest["verification"]["not_applicable"])
    assert not manifest["verification"]["skipped"]


def test_the_newer_one_of_two_parallel_builds_is_latest(twins: list[Path], tiny_place: TinyPlace) -> None:
    first, second = twins

    assert first.name < second.name
    assert first.parent == second.parent
    assert tiny_place.latest() == second.name


def test_the_run_leaves_nothing_behind(tiny_build: Path, tiny_place: TinyPlace) -> None:
    assert tiny_place.remains() == []
