# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from goldsmith.containers.images_lock import LockedImage
from goldsmith.core import files
from goldsmith.core.paths import project_root
from goldsmith.host import python_packages
from goldsmith.host.python_packages import PackageDifference
from goldsmith.image import element_hashes, manifest
from goldsmith.image.build_info import Identity
from goldsmith.image.disk import Disk
from goldsmith.image.element_hashes import ElementFile
from goldsmith.image.made_by import MadeBy
from goldsmith.image.manifest import Manifest
from goldsmith.spec.model import ContainerSpec, Distribution, ImageSpec, VerifySpec
from tests.support import samples

IMAGE = msgspec.convert(samples.image("a.b/app:1"), LockedImage)
QEMU_IMG = """
case $1 in
    info) echo '{"virtual-size": 2147483649}' ;;
    convert) cp "$5" "$6" ;;
    --version) echo "qemu-img version 7.2.0 (Debian)" ;;
esac
"""
POD = {"metadata": {"name": "web"}}
SPEC = ImageSpec(
    name="mine", distribution=Distribution.debian, release="trixie",
    containers=(ContainerSpec(ref="a.b/app:1"),), verify=VerifySpec(pods=(POD,)),
)  # fmt: skip
TREE = {"install.d/50-x": ElementFile(sha256="e" * 64, executable=True)}
IDENTITY = Identity(
    name="mine", build_id="20260101T000000Z-abc", commit="abcdef123456", dirty=False, spec_sha256="5" * 64,
    repository="https://git.test/team/images", ref="refs/heads/main",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "out" / "mine" / "20260101T000000Z-abc"
    path.mkdir(parents=True)
    return path


def full_manifest(folder: Path, **changes: Any) -> dict[str, Any]:
    files.write_json(folder / "packages.json", samples.packages(kernels=["6.12"]))
    (folder / "spec.yaml").write_text("name: mine\n")
    disk = Disk(file="m.qcow2", format="qcow2", sha256="1", sha512="2", size=3, virtual_size=1024**3 + 1)
    about: dict[str, Any] = {
        "disks": [disk], "kubelet": None, "images": [IMAGE], "elements": {"vm": TREE},
        "base_image": None, "accepted_unsigned": {},
    }  # fmt: skip
    return manifest.of_build(SPEC, IDENTITY, folder, **{**about, **changes}).as_dict()


def test_the_manifest_has_hashes_of_the_files_beside_it(fake: Callable[..., Path], folder: Path) -> None:
    fake("qemu-img", QEMU_IMG)
    files.write_json(folder / "images.lock.json", {})

    found = full_manifest(folder)

    assert set(found["files"]) == {"images.lock.json", "packages.json", "spec.yaml"}
    assert found["files"]["spec.yaml"] == hashlib.sha256(b"name: mine\n").hexdigest()


def test_the_manifest_says_which_indexes_were_accepted(fake: Callable[..., Path], folder: Path) -> None:
    fake("qemu-img", QEMU_IMG)

    assert full_manifest(folder, accepted_indexes=["it is older"])["accepted_indexes"] == ["it is older"]
    assert "accepted_indexes" not in full_manifest(folder)


def test_the_manifest_has_the_needs_of_a_server_rounded_up(fake: Callable[..., Path], folder: Path) -> None:
    fake("qemu-img", QEMU_IMG)

    found = full_manifest(folder)

    assert found["min_disk_gib"] == 2
    assert found["kernels"] == ["6.12"]
    assert found["packages"] == {"file": "packages.json", "count": 1}
    assert found["tools"]["qemu-img"] == "7.2.0"
    assert found["containers"] == [samples.image("a.b/app:1")]


def test_the_manifest_says_when_the_build_began_and_what_was_checked_out(
    fake: Callable[..., Path], folder: Path
) -> None:
    fake("qemu-img", QEMU_IMG)

    found = full_manifest(folder)

    assert found["started"] == "2026-01-01T00:00:00Z"
    assert found["checkout"] == "git+https://git.test/team/images@refs/heads/main"


def test_the_manifest_has_the_files_of_elements_by_name(fake: Callable[..., Path], folder: Path) -> None:
    fake("qemu-img", QEMU_IMG)

    found = full_manifest(folder)

    assert found["elements"] == {"vm": element_hashes.sha256_of_tree(TREE)}
    assert found["element_files"] == {"vm": {"install.d/50-x": {"sha256": "e" * 64, "executable": True}}}


def test_the_manifest_has_no_path_of_this_host(fake: Callable[..., Path], folder: Path) -> None:
    fake("qemu-img", QEMU_IMG)

    text = json.dumps(full_manifest(folder))

    assert str(folder.parent) not in text
    assert str(project_root()) not in text


def test_the_manifest_names_the_goldsmith_and_what_its_python_packages_differ_in(
    fake: Callable[..., Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake("qemu-img", QEMU_IMG)
    other = PackageDifference(name="invoke", locked="3.0.3", found="2.2.0")
    monkeypatch.setattr(python_packages, "differences", lambda: (other,))
    maker = dataclasses.replace(IDENTITY, made_by=MadeBy(version="1.2", commit="c" * 40))
    monkeypatch.setattr(f"{__name__}.IDENTITY", maker)

    found = full_manifest(folder)

    assert found["made_by"] == {"version": "1.2", "commit": "c" * 40, "changed": []}
    assert found["python_packages"] == [{"name": "invoke", "locked": "3.0.3", "found": "2.2.0"}]
    assert Manifest.parse(found, "manifest.json").as_dict() == found
