# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path

import pytest

from goldsmith.core.paths import project_root
from goldsmith.image import dib_plan, element_hashes
from goldsmith.spec.model import ContainerSpec, Distribution, ImageSpec, VerifySpec

POD = {"metadata": {"name": "web"}}
SPEC = ImageSpec(
    name="mine", distribution=Distribution.debian, release="trixie",
    containers=(ContainerSpec(ref="a.b/app:1"),), verify=VerifySpec(pods=(POD,)),
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "out" / "mine" / "20260101T000000Z-abc"
    path.mkdir(parents=True)
    return path


def test_elements_are_hashed_with_all_that_they_depend_on() -> None:
    found = element_hashes.hashes(["debian-minimal", "heat-config-kubelet"], [project_root() / "elements"])

    assert {"heat-config-kubelet", "kubelet", "package-installs", "debootstrap"} <= found.keys()
    assert list(found) == sorted(found)
    assert {len(value) for value in found.values()} == {64}


def test_all_elements_of_a_default_image_are_found() -> None:
    names = dib_plan.elements(SPEC)

    assert set(names) <= element_hashes.hashes(names, [project_root() / "elements"]).keys()


def test_the_first_folder_with_an_element_counts(tmp_path: Path) -> None:
    for folder in ("mine", "theirs"):
        (tmp_path / folder / "twice").mkdir(parents=True)
        (tmp_path / folder / "twice" / "README.rst").write_text(folder)
        (tmp_path / folder / "twice" / "element-provides").write_text("operating-system\n")
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"

    assert element_hashes.hashes(["twice"], [mine, theirs]) == element_hashes.hashes(["twice"], [mine])
    assert element_hashes.hashes(["twice"], [mine]) != element_hashes.hashes(["twice"], [theirs])


def test_a_trees_hash_sees_names_contents_and_what_is_executable(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    seen = [element_hashes.tree_sha256(tmp_path)]
    (tmp_path / "a").write_text("y")
    seen.append(element_hashes.tree_sha256(tmp_path))
    (tmp_path / "a").chmod(0o755)
    seen.append(element_hashes.tree_sha256(tmp_path))
    (tmp_path / "a").rename(tmp_path / "b")
    seen.append(element_hashes.tree_sha256(tmp_path))

    assert len(set(seen)) == 4


def test_a_trees_hash_does_not_see_times_and_python_caches(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    before = element_hashes.tree_sha256(tmp_path)
    os.utime(tmp_path / "a", (1, 1))
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/a.pyc").write_text("z")

    assert element_hashes.tree_sha256(tmp_path) == before
