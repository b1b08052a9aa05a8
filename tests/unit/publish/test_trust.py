# SPDX-License-Identifier: Apache-2.0
"""What publishing is made of besides the plan: builds, records, journal, properties, bodies, notes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from goldsmith.core import paths
from goldsmith.errors import ProvenanceError, SpecError
from goldsmith.publish import trust
from goldsmith.spec.model import PublishSpec

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


def test_the_command_line_says_before_the_spec_who_has_to_sign(tmp_path: Path) -> None:
    key = tmp_path / "key"
    by_spec, accepted = PublishSpec(signed_by="keys/a.pub"), PublishSpec(accept_unsigned="a lab")

    assert trust.choose(accepted, key, "") == trust.Trust(signed_by=key)
    assert trust.choose(by_spec, None, "now") == trust.Trust(accepted="now")
    assert trust.choose(by_spec, None, "").signed_by == paths.project_root() / "keys/a.pub"
    assert trust.choose(accepted, None, "") == trust.Trust(accepted="a lab")


@pytest.mark.parametrize(
    ("rules", "accepted", "why"),
    [
        (PublishSpec(), "", "nothing says whose signature"),
        (PublishSpec(signed_by="a", accept_unsigned="b"), "", "signed by somebody, or accepted"),
    ],
)
def test_a_release_that_nobody_answers_for_is_refused(rules: PublishSpec, accepted: str, why: str) -> None:
    with pytest.raises(SpecError, match=why):
        trust.choose(rules, None, accepted)


def test_a_build_that_is_not_signed_is_not_published(
    build: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ProvenanceError, match=r"may not be published[\s\S]*cannot read the public key") as e:
        trust.Trust(signed_by=tmp_path / "nobody.pub").require(build)

    assert f"scripts/inv sign mine --build {build.name}" in str(e.value.hint)
    trust.Trust(accepted="a trial").require(build)
    assert "without a signature: a trial" in capsys.readouterr().err
