# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path

import pytest

from goldsmith.image import build_info
from goldsmith.image.build_info import Identity
from goldsmith.kubernetes.kubelet import KubeletRecord
from goldsmith.spec.model import ContainerSpec, Distribution, ImageSpec, VerifySpec

POD = {"metadata": {"name": "web"}}
SPEC = ImageSpec(
    name="mine", distribution=Distribution.debian, release="trixie",
    containers=(ContainerSpec(ref="a.b/app:1"),), verify=VerifySpec(pods=(POD,)),
)  # fmt: skip
IDENTITY = Identity(
    name="mine", build_id="20260101T000000Z-abc", commit="abcdef123456", dirty=False, spec_sha256="5" * 64
)


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
    assert json.loads(json.dumps(build)) == build


def test_an_image_without_containers_names_no_lock() -> None:
    build = build_info.of_spec(dataclasses.replace(SPEC, containers=()), IDENTITY, None)

    assert build.images_lock is None
    assert build.kubelet is None


def test_the_identity_is_written_as_lines_of_os_release(tmp_path: Path) -> None:
    build_info.write(tmp_path / "identity", build_info.of_spec(SPEC, IDENTITY, None))

    text = (tmp_path / "identity/os-release").read_text()
    assert text == 'IMAGE_ID="mine"\nIMAGE_VERSION="20260101T000000Z-abc"\n'


def git(folder: Path, *words: str) -> None:
    me = ("-c", "user.name=me", "-c", "user.email=me@host.test")
    subprocess.run(["git", *me, *words], cwd=folder, check=True, capture_output=True)


@pytest.mark.programs("git")
def test_the_commit_is_found_and_whether_files_differ_from_it(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")

    commit, dirty = build_info.commit_of(tmp_path)
    (tmp_path / "new").touch()

    assert len(commit) == 40
    assert not dirty
    assert build_info.commit_of(tmp_path) == (commit, True)


@pytest.mark.programs("git")
def test_a_folder_without_git_has_no_commit(tmp_path: Path) -> None:
    assert build_info.commit_of(tmp_path) == ("nogit", True)


def test_a_host_without_git_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goldsmith.core.proc.environment", lambda _extra=None: {"PATH": str(tmp_path)})

    assert build_info.commit_of(tmp_path) == ("nogit", True)
