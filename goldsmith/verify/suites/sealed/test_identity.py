# SPDX-License-Identifier: Apache-2.0
"""The image says what it is, and that is what the manifest says."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from goldsmith.image import mount

BUILD_KEYS = {"schema", "version", "name", "build_id", "commit", "spec_sha256", "embed", "images_lock"}


def test_build_json_says_what_the_image_is(expect: dict[str, Any]) -> None:
    build = expect["build"]
    assert build is not None, "/usr/lib/goldsmith/build.json is missing or no JSON"
    assert build["schema"] == "goldsmith.build"
    assert set(build) >= BUILD_KEYS
    assert expect["build_problem"] == ""


def test_the_images_lock_can_be_read(expect: dict[str, Any]) -> None:
    assert expect["images_problem"] == ""


def test_os_release_names_image_and_version(sealed_root: Path, expect: dict[str, Any]) -> None:
    lines = mount.resolve(sealed_root, "/etc/os-release").read_text().splitlines()
    fields = {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}
    assert expect["build"] is not None
    assert fields["IMAGE_ID"] == expect["build"]["name"]
    assert fields["IMAGE_VERSION"] == expect["build"]["build_id"]


@pytest.mark.needs("manifest")
def test_bytes_are_those_of_the_manifest(expect: dict[str, Any]) -> None:
    assert expect["image_sha256"] in {disk["sha256"] for disk in expect["manifest"]["disks"]}


@pytest.mark.needs("manifest")
def test_manifest_and_image_name_the_same_build(expect: dict[str, Any]) -> None:
    manifest, build = expect["manifest"], expect["build"]
    assert build is not None
    for key in ("name", "build_id", "commit", "spec_sha256"):
        assert build[key] == manifest[key], key


@pytest.mark.needs("manifest")
def test_manifest_and_image_name_the_same_container_images(expect: dict[str, Any]) -> None:
    inside = {image["ref"]: image["digest"] for image in expect["images"]}
    assert inside == {image["ref"]: image["digest"] for image in expect["manifest"]["containers"]}


@pytest.mark.needs("kubelet")
def test_kubelet_is_the_one_that_was_built(sealed_root: Path, expect: dict[str, Any]) -> None:
    binary = mount.resolve(sealed_root, "/usr/bin/kubelet")
    assert binary.is_file(), "/usr/bin/kubelet is missing"
    wanted = expect["build"]["kubelet"].get("sha256")
    if wanted is not None:  # a distribution's package has none of ours
        assert hashlib.file_digest(binary.open("rb"), "sha256").hexdigest() == wanted


def test_no_pod_ships_in_the_image(sealed_root: Path) -> None:
    folder = mount.resolve(sealed_root, "/etc/kubernetes/manifests")
    assert not folder.exists() or not list(folder.iterdir())
