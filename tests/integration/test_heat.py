# SPDX-License-Identifier: Apache-2.0
"""The acceptance as users run it: the default image in a test cloud of its own, through a release's life."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from goldsmith.core import files, paths, reaper
from goldsmith.devcloud import instance
from goldsmith.errors import ProvenanceError
from goldsmith.heat import report, verify
from goldsmith.heat.acceptance import Wishes
from goldsmith.verify import junit
from tests.support.heat_in_background import Proof

pytestmark = pytest.mark.integration

STEPS = ["image", "create", "update", "crashing pod", "roll back", "reboot", "new image", "delete"]


@pytest.fixture(scope="module")
def verdict(proof: Proof, built: dict[str, Any]) -> dict[str, Any]:
    """What the verification wrote beside the manifest, once it has come to its end."""
    proof.ended_well()
    return dict(json.loads((Path(built["folder"]) / report.VERDICT).read_text()))


def test_what_somebody_else_signed_is_not_proven(proof: Proof, out: Path, keys: dict[str, Path]) -> None:
    theirs = keys["theirs"].with_suffix(".pub")
    with pytest.raises(ProvenanceError, match="not by the key"):
        verify.verify(out, "debian-kubelet", cloud="", wishes=Wishes(flavor="golden"), signed_by=theirs)


def test_every_step_goes_well(verdict: dict[str, Any], signed: dict[str, Any]) -> None:
    assert verdict["result"] == "passed"
    assert verdict["signed_by"] == signed["key"]
    assert [step["name"] for step in verdict["steps"]] == STEPS


def test_the_verdict_is_on_the_very_build_and_lies_beside_its_manifest(
    verdict: dict[str, Any], built: dict[str, Any]
) -> None:
    build = Path(built["folder"])

    assert verdict["manifest_sha256"] == files.sha256_of(build / "manifest.json")
    assert verdict["image_sha256"] == built["manifest"]["disks"][0]["sha256"]
    assert junit.count(build / report.JUNIT) == junit.Counts(tests=len(STEPS))


def test_an_update_is_measured_in_its_parts(verdict: dict[str, Any]) -> None:
    parts = verdict["figures"]["update_s"]

    assert set(parts) == {*report.PARTS, "total"}
    assert verdict["figures"]["agent_in_3_changes"]["cpu_host_s"] > 0
    assert verdict["figures"]["agent_in_3_changes"]["largest_pass_cpu_host_s"] < 2, "hook and signal"


def test_the_cloud_of_the_verification_is_gone(verdict: dict[str, Any]) -> None:
    left = list(paths.scratch_root().glob("cloud-verify-*"))

    assert left == []
    assert reaper.leftovers(instance.place(verdict["cloud"]).folder) == []
