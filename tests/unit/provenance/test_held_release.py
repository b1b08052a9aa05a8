# SPDX-License-Identifier: Apache-2.0
"""Releases of all forms so far pass their check without their files, by what a record keeps of them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from goldsmith.provenance import dsse, held_release
from goldsmith.provenance.held_release import HeldRelease

KEPT = Path(__file__).parent / "documents"
RELEASES = sorted(path.name for path in KEPT.glob("release-*"))
KEY = dsse.public_key(KEPT / "release.pub")


def held(name: str) -> HeldRelease:
    folder = KEPT / name
    manifest = json.loads((folder / "manifest.json").read_text())
    bill = folder / "sbom.cdx.json"
    disk = manifest["disks"][0]
    return HeldRelease(
        build_id=manifest["build_id"], manifest=manifest,
        packages=json.loads((folder / "packages.json").read_text()),
        bill=bill.read_text() if bill.exists() else None,
        statement=(folder / "provenance.intoto.json").read_text(), image_format=disk["format"],
        algorithm="sha512", digest=disk["sha512"],
    )  # fmt: skip


@pytest.mark.parametrize("name", RELEASES)
def test_a_release_that_was_signed_before_passes(name: str) -> None:
    report, builder = held_release.check(held(name), KEY)

    assert report.failed == ()
    assert builder
    assert {check.name for check in report.checks} >= {"signature", "image", "manifest", "verification"}


def test_kept_releases_are_found_and_one_has_a_bill() -> None:
    assert len(RELEASES) == 4
    assert [name for name in RELEASES if held(name).bill is not None] == ["release-all"]


def test_the_statement_of_another_release_does_not_vouch() -> None:
    one, other = held("release-all"), held("release-plain")

    report, _ = held_release.check(dataclasses.replace(one, statement=other.statement), KEY)

    assert {check.name for check in report.failed} >= {"manifest.json", "sbom.cdx.json", "image"}
