# SPDX-License-Identifier: Apache-2.0
"""Signed releases of all forms so far pass their check: kept files.

documents/release-first: a commit of 12 digits, a package without a hash. release-fedora: a base image
without a signed list, a kubelet from a package. release-all: every part that a release can have.
release-plain: no git, no container, no kubelet. The goldsmith of the time made the statements; the disk
images are stand-ins.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from goldsmith.provenance import dsse, release_check

KEPT = Path(__file__).parent / "documents"
RELEASES = sorted(path.name for path in KEPT.glob("release-*"))


def test_kept_releases_are_found() -> None:
    assert len(RELEASES) == 4


@pytest.mark.parametrize("name", RELEASES)
def test_a_release_that_was_signed_before_passes_its_check(name: str) -> None:
    report = release_check.check(KEPT / name, dsse.public_key(KEPT / "release.pub"))

    assert report.failed == ()
    assert {check.name for check in report.checks} >= {"signature", "manifest", "verification"}


@pytest.mark.parametrize("name", RELEASES)
def test_a_kept_release_with_another_manifest_fails_its_check(name: str, tmp_path: Path) -> None:
    release = shutil.copytree(KEPT / name, tmp_path / name)
    (release / "manifest.json").write_text((release / "manifest.json").read_text() + " ")

    report = release_check.check(release, dsse.public_key(KEPT / "release.pub"))

    assert [check.name for check in report.failed] == ["manifest.json"]
