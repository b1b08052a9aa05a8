# SPDX-License-Identifier: Apache-2.0
"""The acceptance as users run it: the default image in a test cloud of its own, through a release's life."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from inv import inv

from goldsmith import heatreport, heatroad, junit, proc, reap, workspace
from goldsmith.errors import ProvenanceError
from goldsmith.heatproof import Wishes

pytestmark = pytest.mark.integration

STEPS = ["image", "create", "update", "crashing pod", "roll back", "reboot", "delete"]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Key pairs of ours and of a stranger: the private key's file; the public one ends in .pub."""
    folder, made = tmp_path_factory.mktemp("keys"), {}
    for name in ("ours", "theirs"):
        made[name] = folder / f"{name}.key"
        proc.capture(["openssl", "genpkey", "-algorithm", "ed25519", "-out", made[name]])
        public = made[name].with_suffix(".pub")
        proc.capture(["openssl", "pkey", "-in", made[name], "-pubout", "-out", public])
    return made


@pytest.fixture(scope="module")
def signed(built: dict[str, Any], out: Path, keys: dict[str, Path]) -> str:
    """The ID of the key that the build of the main job is signed with."""
    words = ("--builder", "https://ci.example.org/test", "--accept-dirty", "a test")
    return str(inv("sign", "debian-kubelet", "--key", str(keys["ours"]), *words, out=out)["key"])


@pytest.fixture(scope="module")
def verdict(signed: str, out: Path, keys: dict[str, Path]) -> dict[str, Any]:
    """The answer of `scripts/inv verify-heat --json` on the signed build of the main job."""
    return inv("verify-heat", "--signed-by", str(keys["ours"].with_suffix(".pub")), out=out)


def test_what_somebody_else_signed_is_not_proven(signed: str, out: Path, keys: dict[str, Path]) -> None:
    theirs = keys["theirs"].with_suffix(".pub")
    with pytest.raises(ProvenanceError, match="not by the key"):
        heatroad.verify(out, "debian-kubelet", cloud="", wishes=Wishes(flavor="golden"), signed_by=theirs)


def test_every_step_goes_well(verdict: dict[str, Any], signed: str) -> None:
    assert verdict["result"] == "passed"
    assert verdict["signed_by"] == signed
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
