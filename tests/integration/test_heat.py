# SPDX-License-Identifier: Apache-2.0
"""The acceptance as users run it: the default image in a test cloud of its own, through a release's life."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from inv import inv

from goldsmith import heatreport, junit, reap, workspace

pytestmark = pytest.mark.integration

STEPS = ["image", "create", "update", "crashing pod", "roll back", "reboot", "delete"]


@pytest.fixture(scope="module")
def verdict(built: dict[str, Any], out: Path) -> dict[str, Any]:
    """The answer of `scripts/inv verify-heat --json` on the build of the main job."""
    return inv("verify-heat", out=out)


def test_every_step_goes_well(verdict: dict[str, Any]) -> None:
    assert verdict["result"] == "passed"
    assert [step["name"] for step in verdict["steps"]] == STEPS


def test_the_verdict_is_on_the_very_build_and_lies_beside_its_manifest(
    verdict: dict[str, Any], built: dict[str, Any]
) -> None:
    build = Path(built["folder"])

    stored = json.loads((build / heatreport.VERDICT).read_text())
    assert stored["manifest_sha256"] == workspace.sha256_of(build / "manifest.json")
    assert stored["image_sha256"] == built["manifest"]["disks"][0]["sha256"]
    assert junit.count(build / heatreport.JUNIT) == junit.Counts(tests=len(STEPS))


def test_an_update_is_measured_in_its_parts(verdict: dict[str, Any]) -> None:
    parts = verdict["figures"]["update_s"]

    assert set(parts) == {*heatreport.PARTS, "total"}
    assert verdict["figures"]["agent_in_3_changes"]["cpu_host_s"] > 0
    assert verdict["figures"]["agent_in_3_changes"]["largest_pass_cpu_host_s"] < 2, "hook and signal"


def test_the_cloud_of_the_verification_is_gone(verdict: dict[str, Any]) -> None:
    left = list(workspace.scratch_root().glob("cloud-verify-*"))

    assert left == []
    assert reap.leftovers(workspace.scratch_root() / verdict["cloud"]) == []
