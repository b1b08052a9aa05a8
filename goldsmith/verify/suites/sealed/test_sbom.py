# SPDX-License-Identifier: Apache-2.0
"""The SBOM, made from this disk, agrees with the lock and the manifest."""

from __future__ import annotations

import pytest

from goldsmith.verify.expectations import Expectations


def test_there_is_a_bill(expected: Expectations) -> None:
    assert not expected.sbom.error


@pytest.mark.needs("bill", "containers")
def test_container_images_are_those_of_the_lock(expected: Expectations) -> None:
    locked = {image.digest: image.ref for image in expected.images}
    assert expected.sbom.containers == locked


@pytest.mark.needs("bill", "manifest")
def test_container_images_are_those_of_the_manifest(expected: Expectations) -> None:
    assert expected.manifest is not None
    built = {image.digest for image in expected.manifest.containers}
    assert set(expected.sbom.containers) == built


@pytest.mark.needs("bill", "kubelet")
def test_the_kubelet_is_that_of_the_build(expected: Expectations) -> None:
    kubelet = expected.info.kubelet
    assert kubelet is not None
    if kubelet.sha256 is not None:  # a distribution's package is among the SBOM's packages
        assert kubelet.sha256 == expected.sbom.kubelet_sha256
