# SPDX-License-Identifier: Apache-2.0
"""The bill of materials, made from this disk, lists what the lock and the manifest say was put in."""

from __future__ import annotations

from typing import Any

import pytest


def test_there_is_a_bill(expect: dict[str, Any]) -> None:
    assert not expect["sbom"]["error"]


@pytest.mark.needs("bill", "containers")
def test_container_images_are_those_of_the_lock(expect: dict[str, Any]) -> None:
    locked = {image["digest"]: image["ref"] for image in expect["images"]}
    assert expect["sbom"]["containers"] == locked


@pytest.mark.needs("bill", "manifest")
def test_container_images_are_those_of_the_manifest(expect: dict[str, Any]) -> None:
    built = {i["digest"] for i in expect["manifest"]["containers"]}
    assert set(expect["sbom"]["containers"]) == built


@pytest.mark.needs("bill", "kubelet")
def test_the_kubelet_is_that_of_the_build(expect: dict[str, Any]) -> None:
    named = expect["build"]["kubelet"]["sha256"]  # None for a package, which the list of packages has
    assert named in (None, expect["sbom"]["kubelet_sha256"])
