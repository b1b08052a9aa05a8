# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest

from goldsmith.core.paths import project_root
from goldsmith.errors import SpecError
from goldsmith.image import dib_plan, element_hashes
from goldsmith.spec.model import ContainerSpec, Distribution, ImageSpec, VerifySpec

POD = {"metadata": {"name": "web"}}
SPEC = ImageSpec(
    name="mine", distribution=Distribution.debian, release="trixie",
    containers=(ContainerSpec(ref="a.b/app:1"),), verify=VerifySpec(pods=(POD,)),
)  # fmt: skip


def tree_sha256(folder: Path) -> str:
    return element_hashes.sha256_of_tree(element_hashes.tree(folder))


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


def test_a_missing_element_is_named_with_the_one_that_asks_for_it(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/element-deps").write_text("package-installs\nyours\n")
    (tmp_path / "yours").mkdir()
    (tmp_path / "yours/element-deps").write_text("package-instals\noperating-system\n")

    with pytest.raises(SpecError) as e:
        element_hashes.files(["debian-minimal", "mine"], [tmp_path])

    assert str(e.value) == "element-deps of yours names the element 'package-instals', which does not exist"
    assert e.value.hint == "did you mean 'package-installs'?"


def test_a_trees_hash_sees_names_contents_and_what_is_executable(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    seen = [tree_sha256(tmp_path)]
    (tmp_path / "a").write_text("y")
    seen.append(tree_sha256(tmp_path))
    (tmp_path / "a").chmod(0o755)
    seen.append(tree_sha256(tmp_path))
    (tmp_path / "a").rename(tmp_path / "b")
    seen.append(tree_sha256(tmp_path))

    assert len(set(seen)) == 4


def test_the_hash_of_a_tree_stays_as_locks_hold_it(tmp_path: Path) -> None:
    (tmp_path / "install.d").mkdir()
    (tmp_path / "install.d/50-x").write_text("x")
    (tmp_path / "install.d/50-x").chmod(0o755)
    (tmp_path / "README.rst").write_text("y")

    assert tree_sha256(tmp_path) == "ae4aec1b662befc9b0ef323ea3d1ebdc3e3b0495a7f98483351ec91c6932b422"


def test_files_of_elements_are_named_by_their_paths(tmp_path: Path) -> None:
    (tmp_path / "mine/install.d").mkdir(parents=True)
    (tmp_path / "mine/element-provides").write_text("operating-system\n")
    (tmp_path / "mine/install.d/50-x").write_text("x")
    (tmp_path / "mine/install.d/50-x").chmod(0o755)

    found = element_hashes.files(["mine"], [tmp_path])["mine"]

    assert list(found) == ["element-provides", "install.d/50-x"]
    assert [file.executable for file in found.values()] == [False, True]
    assert found["install.d/50-x"].sha256 == hashlib.sha256(b"x").hexdigest()


@pytest.mark.parametrize("cache", ["__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"])
def test_a_trees_hash_does_not_see_times_and_caches_of_tools(tmp_path: Path, cache: str) -> None:
    (tmp_path / "a").write_text("x")
    before = tree_sha256(tmp_path)
    os.utime(tmp_path / "a", (1, 1))
    (tmp_path / "b" / cache / "v").mkdir(parents=True)
    (tmp_path / "b" / cache / "v/a").write_text("z")

    assert tree_sha256(tmp_path) == before


def test_a_link_counts_by_its_text_and_by_what_lies_beside(tmp_path: Path) -> None:
    element, beside = tmp_path / "elements/one", tmp_path / "elements/other"
    element.mkdir(parents=True)
    beside.write_text("one")
    links = {
        "beside": "../other",
        "image": "/etc/localtime",
        "folder": "/run",
        "dangling": "nowhere",
        "loop": "loop",
    }
    for name, text in links.items():
        (element / name).symlink_to(text)
    first = element_hashes.tree(element)
    assert first.keys() == links.keys()

    beside.write_text("two")
    assert {name for name, file in element_hashes.tree(element).items() if file != first[name]} == {"beside"}
    beside.write_text("one")
    assert element_hashes.tree(element) == first
    for name in links:
        (element / name).unlink()
        (element / name).symlink_to(f"{links[name]}x")
    assert all(file != first[name] for name, file in element_hashes.tree(element).items())
    (element / "beside").unlink()
    (element / "beside").write_text("one")
    assert element_hashes.tree(element)["beside"] != first["beside"]


def test_where_a_link_for_the_image_leads_on_this_host_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "elements/one").mkdir(parents=True)
    target = tmp_path / "file of the host"
    for text in (str(target), "../../file of the host"):
        target.unlink(missing_ok=True)
        (tmp_path / "elements/one/link").unlink(missing_ok=True)
        (tmp_path / "elements/one/link").symlink_to(text)
        without = element_hashes.tree(tmp_path / "elements/one")
        target.write_text("secret")
        target.chmod(0)
        assert element_hashes.tree(tmp_path / "elements/one") == without


def test_a_link_to_a_folder_beside_is_refused(tmp_path: Path) -> None:
    link, text = "mine/linking/install.d", "../shared/install.d"
    (tmp_path / "mine/shared/install.d").mkdir(parents=True)
    (tmp_path / "mine/shared/element-provides").write_text("operating-system\n")
    (tmp_path / link).parent.mkdir(exist_ok=True)
    (tmp_path / link).symlink_to(text)
    (tmp_path / "mine/linking/element-provides").write_text("operating-system\n")

    with pytest.raises(SpecError, match=rf"{link} is a link to a folder, {re.escape(text)}"):
        element_hashes.files(["linking"], [tmp_path / "mine"])
