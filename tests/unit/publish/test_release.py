# SPDX-License-Identifier: Apache-2.0
"""Releases in Glance, and the rule that looks the alias up."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from goldsmith.errors import PublishError
from goldsmith.publish import release
from goldsmith.publish.release import GlanceImage

API: dict[str, Any] = {
    "id": "i1", "name": "golden", "status": "active", "owner": "p1", "visibility": "public",
    "os_hidden": False,
    "protected": False, "tags": ["goldsmith"], "size": 5, "disk_format": "qcow2", "container_format": "bare",
    "os_hash_algo": "sha512", "os_hash_value": "aa", "created_at": "2026-03-01T12:00:00Z",
    "updated_at": "2026-03-01T12:00:00Z", "min_disk": 2, "min_ram": 512, "self": "/v2/images/i1",
    "goldsmith_build_id": "b1", "goldsmith_release": "7", "goldsmith_state": "released",
    "os_distro": "debian",
}  # fmt: skip


def image(**changes: Any) -> GlanceImage:
    return release.from_api({**API, **changes})


def test_properties_are_told_from_attributes() -> None:
    found = image()

    assert (found.build_id, found.number, found.is_ours, found.is_released) == ("b1", 7, True, True)
    assert set(found.properties) == {
        "goldsmith_build_id", "goldsmith_release", "goldsmith_state", "os_distro",
    }  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [{"tags": []}, {"goldsmith_build_id": ""}, {"goldsmith_release": "x"}, {"goldsmith_release": "0"}],
)
def test_images_that_are_not_ours(change: dict[str, Any]) -> None:
    assert not image(**change).is_ours


def test_the_highest_number_counts_as_a_number() -> None:
    images = [image(id=number, goldsmith_release=number) for number in ("9", "10", "2")]

    found = release.holder(images, "golden")

    assert found is not None
    assert found.number == 10


@pytest.mark.parametrize(
    "change", [{"name": "golden-b1"}, {"status": "queued"}, {"os_hidden": True}, {"tags": ["theirs"]}]
)
def test_images_that_the_rule_passes_over(change: dict[str, Any]) -> None:
    assert release.holder([image(**change)], "golden") is None


def test_releases_of_two_projects_are_refused() -> None:
    images = [image(), dataclasses.replace(image(), id="i2", owner="p2")]

    with pytest.raises(PublishError, match="several projects have the name golden: p1, p2") as caught:
        release.holder(images, "golden")
    assert caught.value.hint == "name one project: --project ID"
