# SPDX-License-Identifier: Apache-2.0
"""Properties of an image against Glance's metadata definitions."""

from __future__ import annotations

from typing import Any

import pytest

from goldsmith.publish import metadefs

DEFINED: dict[str, dict[str, Any]] = {
    "hw_disk_bus": {"type": "string", "enum": ["virtio", "scsi"]},
    "hw_boot_menu": {"type": "boolean"},
    "hw_cpu_cores": {"type": "integer", "minimum": 1},
    "os_type": {"type": "string", "enum": ["linux", "windows"]},
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hw_disk_bus", "virtio"), ("hw_boot_menu", "True"), ("hw_cpu_cores", "4"), ("anything", "else"),
        ("os_admin_user", "debian"),
    ],
)  # fmt: skip
def test_properties_that_are_allowed(name: str, value: str) -> None:
    assert list(metadefs.problems({name: value}, DEFINED)) == []


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("hw_disk_bus", "ide", "hw_disk_bus: 'ide' is not one of ['virtio', 'scsi']"),
        ("hw_boot_menu", "maybe", "hw_boot_menu: 'maybe' is not of type 'boolean'"),
        ("hw_cpu_cores", "many", "hw_cpu_cores: 'many' is not of type 'integer'"),
        ("hw_cpu_cores", "0", "hw_cpu_cores: 0 is less than the minimum of 1"),
        ("hw_disk_buss", "ide", "hw_disk_buss is not known; did you mean hw_disk_bus?"),
    ],
)
def test_properties_that_are_not_allowed(name: str, value: str, problem: str) -> None:
    assert list(metadefs.problems({name: value}, DEFINED)) == [problem]
