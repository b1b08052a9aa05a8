# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from goldsmith.core import builds, files
from goldsmith.core.paths import project_root
from goldsmith.errors import BuildError
from goldsmith.image import dib_plan, manifest
from goldsmith.image.disk import Disk, take_in, write_sums
from goldsmith.image.manifest import Identity
from goldsmith.spec.model import ContainerSpec, DiskFormat, DiskSpec, Distribution, ImageSpec, VerifySpec

QEMU_IMG = """
case $1 in
    info) echo '{"virtual-size": 2147483649}' ;;
    convert) cp "$4" "$5" ;;
    --version) echo "qemu-img version 7.2.0 (Debian)" ;;
esac
"""
POD = {"metadata": {"name": "web"}}
SPEC = ImageSpec(
    name="mine", distribution=Distribution.debian, release="trixie",
    containers=(ContainerSpec(ref="a.b/app:1"),), verify=VerifySpec(pods=(POD,)),
)  # fmt: skip
BOTH = dataclasses.replace(SPEC, disk=DiskSpec(formats=(DiskFormat.qcow2, DiskFormat.raw)))
IDENTITY = Identity(
    name="mine", build_id="20260101T000000Z-abc", commit="abcdef123456", dirty=False, spec_sha256="5" * 64
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "out" / "mine" / "20260101T000000Z-abc"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "scratch.qcow2"
    path.write_bytes(b"disk")
    return path


def verified(folder: Path, result: str = "passed") -> Path:
    folder.mkdir(exist_ok=True)
    files.write_json(folder / "manifest.json", {"verification": {"result": result}})
    return folder


def full_manifest(folder: Path, **changes: Any) -> dict[str, Any]:
    files.write_json(folder / "packages.json", {"packages": [{"name": "a"}], "kernels": ["6.12"]})
    (folder / "spec.yaml").write_text("name: mine\n")
    disk = Disk(file="m.qcow2", format="qcow2", sha256="1", sha512="2", size=3, virtual_size=1024**3 + 1)
    about: dict[str, Any] = {
        "disks": [disk], "kubelet": None, "images": [{"ref": "a.b/app:1"}], "elements": {"vm": "e"},
        "base_image": None, "accepted_unsigned": {},
    }  # fmt: skip
    return manifest.manifest(SPEC, IDENTITY, folder, **{**about, **changes})


def test_the_image_is_moved_in_and_hashed(fake: Callable[..., Path], image: Path, folder: Path) -> None:
    fake("qemu-img", QEMU_IMG)

    (disk,) = take_in(image, SPEC, folder)

    assert not image.exists()
    assert (folder / disk.file).read_bytes() == b"disk"
    assert disk.file == "mine-amd64.qcow2"
    assert disk.sha256 == hashlib.sha256(b"disk").hexdigest()
    assert disk.sha512 == hashlib.sha512(b"disk").hexdigest()
    assert (disk.size, disk.virtual_size) == (4, 2147483649)


def test_another_format_is_made_from_the_image_and_compared_with_it(
    fake: Callable[..., Path], image: Path, folder: Path
) -> None:
    calls = fake("qemu-img", QEMU_IMG)

    disks = take_in(image, BOTH, folder)

    assert [disk.format for disk in disks] == ["qcow2", "raw"]
    compared = f"compare -f qcow2 -F raw {folder}/mine-amd64.qcow2 {folder}/mine-amd64.raw"
    assert compared in calls.read_text().splitlines()
    assert sorted(path.suffix for path in folder.iterdir()) == [".qcow2", ".raw"]


def test_a_format_that_differs_is_refused(fake: Callable[..., Path], image: Path, folder: Path) -> None:
    fake("qemu-img", QEMU_IMG.replace("info)", "compare) echo Content mismatch >&2; exit 1 ;;\n    info)"))

    with pytest.raises(BuildError, match=r"mine-amd64\.raw differs from mine-amd64\.qcow2: Content"):
        take_in(image, BOTH, folder)


@pytest.mark.programs("sha256sum")
def test_sums_are_such_as_sha256sum_checks(fake: Callable[..., Path], image: Path, folder: Path) -> None:
    fake("qemu-img", QEMU_IMG)
    disks = take_in(image, BOTH, folder)

    write_sums(folder, disks)

    for disk in disks:
        argv = ["sha256sum", "--check", "--strict", f"{disk.file}.sha256"]
        assert subprocess.run(argv, cwd=folder, capture_output=True, check=False).returncode == 0


def test_the_manifest_speaks_of_the_files_beside_it_by_their_hashes(
    fake: Callable[..., Path], folder: Path
) -> None:
    fake("qemu-img", QEMU_IMG)
    files.write_json(folder / "images.lock.json", {})

    found = full_manifest(folder)

    assert set(found["files"]) == {"images.lock.json", "packages.json", "spec.yaml"}
    assert found["files"]["spec.yaml"] == hashlib.sha256(b"name: mine\n").hexdigest()


def test_the_manifest_says_what_a_cloud_needs_rounded_up(fake: Callable[..., Path], folder: Path) -> None:
    fake("qemu-img", QEMU_IMG)

    found = full_manifest(folder)

    assert found["min_disk_gib"] == 2
    assert found["kernels"] == ["6.12"]
    assert found["packages"] == {"file": "packages.json", "count": 1}
    assert found["tools"]["qemu-img"] == "7.2.0"
    assert found["containers"] == [{"ref": "a.b/app:1"}]


def test_the_manifest_has_no_path_of_this_host(fake: Callable[..., Path], folder: Path) -> None:
    fake("qemu-img", QEMU_IMG)

    text = json.dumps(full_manifest(folder))

    assert str(folder.parent) not in text
    assert str(project_root()) not in text


def test_the_image_says_what_it_is_and_how_to_judge_it() -> None:
    about = {"version": "1.35.4", "source": "go-module", "sha256": "a", "provenance": {"go": "secret"}}

    build = manifest.build_json(SPEC, IDENTITY, about)

    assert (build["schema"], build["version"]) == ("goldsmith.build", 1)
    assert build["kubelet"] == {"version": "1.35.4", "source": "go-module", "sha256": "a"}
    assert build["images_lock"] == "/usr/lib/goldsmith/images.lock.json"
    assert build["verify"]["pods"] == [POD]
    assert json.loads(json.dumps(build)) == build


def test_an_image_without_containers_names_no_lock() -> None:
    build = manifest.build_json(dataclasses.replace(SPEC, containers=()), IDENTITY, None)

    assert build["images_lock"] is None
    assert build["kubelet"] is None


def test_the_identity_is_what_os_release_takes(tmp_path: Path) -> None:
    manifest.write_identity(tmp_path / "identity", manifest.build_json(SPEC, IDENTITY, None))

    text = (tmp_path / "identity/os-release").read_text()
    assert text == 'IMAGE_ID="mine"\nIMAGE_VERSION="20260101T000000Z-abc"\n'


def test_latest_moves_to_a_verified_build(folder: Path) -> None:
    assert builds.move_latest(verified(folder))

    assert (folder.parent / "latest").readlink() == Path(folder.name)
    assert (folder.parent / "latest" / "manifest.json").exists()


@pytest.mark.parametrize("result", ["failed", "", "PASSED"])
def test_latest_never_moves_to_another(folder: Path, result: str) -> None:
    with pytest.raises(BuildError, match="not verified"):
        builds.move_latest(verified(folder, result))

    assert not (folder.parent / "latest").is_symlink()


def test_latest_never_moves_back(folder: Path) -> None:
    newer = verified(folder.with_name("20270101T000000Z-abc"))
    builds.move_latest(newer)

    assert not builds.move_latest(verified(folder))

    assert (folder.parent / "latest").readlink() == Path(newer.name)


def test_latest_moves_on_from_a_build_that_is_gone(folder: Path) -> None:
    (folder.parent / "latest").symlink_to("20990101T000000Z-gone")
    (folder.parent / ".latest.new").symlink_to("left over")

    assert builds.move_latest(verified(folder))

    assert (folder.parent / "latest").readlink() == Path(folder.name)


def git(folder: Path, *words: str) -> None:
    me = ("-c", "user.name=me", "-c", "user.email=me@host.test")
    subprocess.run(["git", *me, *words], cwd=folder, check=True, capture_output=True)


@pytest.mark.programs("git")
def test_the_commit_is_told_and_whether_the_tree_differs_from_it(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")

    commit, dirty = manifest.commit_of(tmp_path)
    (tmp_path / "new").touch()

    assert len(commit) == 40
    assert not dirty
    assert manifest.commit_of(tmp_path) == (commit, True)


@pytest.mark.programs("git")
def test_a_folder_without_git_has_no_commit(tmp_path: Path) -> None:
    assert manifest.commit_of(tmp_path) == ("nogit", True)


def test_a_host_without_git_builds_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goldsmith.core.proc.environment", lambda _extra=None: {"PATH": str(tmp_path)})

    assert manifest.commit_of(tmp_path) == ("nogit", True)


def test_elements_are_hashed_with_all_that_they_depend_on() -> None:
    found = manifest.element_hashes(["debian-minimal", "heat-config-kubelet"], [project_root() / "elements"])

    assert {"heat-config-kubelet", "kubelet", "package-installs", "debootstrap"} <= found.keys()
    assert list(found) == sorted(found)
    assert {len(value) for value in found.values()} == {64}


def test_all_elements_of_a_default_image_are_found() -> None:
    names = dib_plan.elements(SPEC)

    assert set(names) <= manifest.element_hashes(names, [project_root() / "elements"]).keys()


def test_the_first_folder_with_an_element_counts(tmp_path: Path) -> None:
    for folder in ("mine", "theirs"):
        (tmp_path / folder / "twice").mkdir(parents=True)
        (tmp_path / folder / "twice" / "README.rst").write_text(folder)
        (tmp_path / folder / "twice" / "element-provides").write_text("operating-system\n")
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"

    assert manifest.element_hashes(["twice"], [mine, theirs]) == manifest.element_hashes(["twice"], [mine])
    assert manifest.element_hashes(["twice"], [mine]) != manifest.element_hashes(["twice"], [theirs])


def test_a_trees_hash_sees_names_contents_and_what_is_executable(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    seen = [manifest.tree_sha256(tmp_path)]
    (tmp_path / "a").write_text("y")
    seen.append(manifest.tree_sha256(tmp_path))
    (tmp_path / "a").chmod(0o755)
    seen.append(manifest.tree_sha256(tmp_path))
    (tmp_path / "a").rename(tmp_path / "b")
    seen.append(manifest.tree_sha256(tmp_path))

    assert len(set(seen)) == 4


def test_a_trees_hash_does_not_see_times_and_python_caches(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    before = manifest.tree_sha256(tmp_path)
    os.utime(tmp_path / "a", (1, 1))
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/a.pyc").write_text("z")

    assert manifest.tree_sha256(tmp_path) == before
