# SPDX-License-Identifier: Apache-2.0
"""The image describes itself in build.json and os-release, in accordance with the manifest."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from goldsmith.image import mount
from goldsmith.verify.expectations import Expectations

BUILD_KEYS = {"schema", "version", "name", "build_id", "commit", "spec_sha256", "embed", "images_lock"}


def test_build_json_says_what_the_image_is(expected: Expectations) -> None:
    assert expected.build is not None, "/usr/lib/goldsmith/build.json is missing or no JSON"
    assert expected.build_problem == ""
    assert sorted(BUILD_KEYS - expected.build.keys()) == [], "build.json lacks keys"


def test_the_images_lock_can_be_read(expected: Expectations) -> None:
    assert expected.images_problem == ""


def test_os_release_names_image_and_version(sealed_root: Path, expected: Expectations) -> None:
    lines = mount.resolve(sealed_root, "/etc/os-release").read_text().splitlines()
    fields = {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}
    assert (fields["IMAGE_ID"], fields["IMAGE_VERSION"]) == (expected.info.name, expected.info.build_id)


@pytest.mark.needs("manifest")
def test_bytes_are_those_of_the_manifest(expected: Expectations) -> None:
    assert expected.manifest is not None
    assert expected.image_sha256 in {disk.sha256 for disk in expected.manifest.disks}


@pytest.mark.needs("manifest")
def test_manifest_and_image_name_the_same_build(expected: Expectations) -> None:
    manifest, info = expected.manifest, expected.info
    assert manifest is not None
    assert info.name == manifest.name
    assert info.build_id == manifest.build_id
    assert info.commit == manifest.commit
    assert info.spec_sha256 == manifest.spec_sha256


@pytest.mark.needs("manifest")
def test_manifest_and_image_name_the_same_container_images(expected: Expectations) -> None:
    assert expected.manifest is not None
    inside = {image.ref: image.digest for image in expected.images}
    assert inside == {image.ref: image.digest for image in expected.manifest.containers}


@pytest.mark.needs("kubelet")
def test_kubelet_is_the_one_that_was_built(sealed_root: Path, expected: Expectations) -> None:
    binary = mount.resolve(sealed_root, "/usr/bin/kubelet")
    assert binary.is_file(), "/usr/bin/kubelet is missing"
    kubelet = expected.info.kubelet
    assert kubelet is not None
    if kubelet.sha256 is not None:  # build.json has no hash for a distribution's package
        assert hashlib.file_digest(binary.open("rb"), "sha256").hexdigest() == kubelet.sha256


def test_no_pod_ships_in_the_image(sealed_root: Path) -> None:
    folder = mount.resolve(sealed_root, "/etc/kubernetes/manifests")
    assert not folder.exists() or not list(folder.iterdir())
