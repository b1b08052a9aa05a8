# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from goldsmith.image import build_info, made_by
from goldsmith.image.build_info import BuildInfo, Identity
from goldsmith.image.made_by import MadeBy
from goldsmith.kubernetes.kubelet import KubeletRecord
from goldsmith.spec.model import ContainerSpec, Distribution, ImageSpec, VerifySpec
from tests.support import installed

POD = {"metadata": {"name": "web"}}
SPEC = ImageSpec(
    name="mine", distribution=Distribution.debian, release="trixie",
    containers=(ContainerSpec(ref="a.b/app:1"),), verify=VerifySpec(pods=(POD,)),
)  # fmt: skip
IDENTITY = Identity(
    name="mine", build_id="20260101T000000Z-abc", commit="abcdef123456", dirty=False, spec_sha256="5" * 64,
    repository="https://git.test/team/images", ref="refs/heads/main",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "out" / "mine" / "20260101T000000Z-abc"
    path.mkdir(parents=True)
    return path


def test_an_image_describes_itself_and_how_to_verify_it() -> None:
    kubelet = KubeletRecord(version="1.35.4", source="go-module", sha256="a", provenance={"go": "secret"})

    build = build_info.of_spec(SPEC, IDENTITY, kubelet).as_dict()

    assert (build["schema"], build["version"]) == ("goldsmith.build", 1)
    assert build["kubelet"] == {"version": "1.35.4", "source": "go-module", "sha256": "a"}
    assert build["images_lock"] == "/usr/lib/goldsmith/images.lock.json"
    assert build["verify"]["pods"] == [POD]
    assert (build["repository"], "ref" in build) == ("https://git.test/team/images", False)
    assert json.loads(json.dumps(build)) == build


def test_an_image_without_containers_names_no_lock() -> None:
    build = build_info.of_spec(dataclasses.replace(SPEC, containers=()), IDENTITY, None)

    assert build.images_lock is None
    assert build.kubelet is None


def test_the_identity_is_written_as_lines_of_os_release(tmp_path: Path) -> None:
    build_info.write(tmp_path / "identity", build_info.of_spec(SPEC, IDENTITY, None))

    text = (tmp_path / "identity/os-release").read_text()
    assert text == 'IMAGE_ID="mine"\nIMAGE_VERSION="20260101T000000Z-abc"\n'


@pytest.mark.programs("git")
def test_an_image_says_which_goldsmith_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed.pretend(tmp_path, monkeypatch)
    maker = MadeBy(version="1.2", record_sha256="a" * 64, changed=("goldsmith/pipeline.py",))
    monkeypatch.setattr(made_by, "here", lambda: maker)

    found = build_info.identify("mine", "1", "5" * 64)
    build = build_info.of_spec(SPEC, found, None)

    assert found.dirty
    assert build.as_dict()["made_by"] == {
        "version": "1.2", "record_sha256": "a" * 64, "changed": ["goldsmith/pipeline.py"],
    }  # fmt: skip
    assert BuildInfo.parse(build.as_dict(), "it") == build


def test_the_description_of_an_earlier_image_is_read() -> None:
    data = build_info.of_spec(SPEC, IDENTITY, None).as_dict()

    assert "made_by" not in data
    assert BuildInfo.parse(data, "it").made_by is None
