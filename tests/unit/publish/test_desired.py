# SPDX-License-Identifier: Apache-2.0
"""The desired release in a cloud."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from goldsmith.errors import PublishError
from goldsmith.image import finished_build
from goldsmith.publish import desired, release
from goldsmith.spec.model import Distribution, ImageSpec, PublishCloud, PublishSpec
from tests.support import samples


def spec(**publish: Any) -> ImageSpec:
    return ImageSpec(
        name="mine", distribution=Distribution.debian, release="trixie", containers=(),
        publish=PublishSpec(**publish),
    )  # fmt: skip


def test_clouds_are_those_named_else_the_specs_else_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OS_CLOUD", "OS_AUTH_URL"):
        monkeypatch.delenv(name, raising=False)
    edge = PublishCloud(name="edge", flavor="small")

    assert desired.clouds_of(spec(clouds=(edge,)), ()) == (edge,)
    assert desired.clouds_of(spec(clouds=(edge,)), ("prod", "edge", "prod")) == (
        PublishCloud(name="prod"),
        edge,
    )
    assert desired.clouds_of(spec(), ()) == ()
    monkeypatch.setenv("OS_CLOUD", "mine")
    assert desired.clouds_of(spec(), ()) == (PublishCloud(name="mine"),)


def test_the_desired_release_follows_from_spec_cloud_and_build(build: Path) -> None:
    read = finished_build.read(build)
    disk = finished_build.disk(read, "qcow2")
    spec_ = spec(properties={"os_distro": "mine", "hw_disk_bus": "scsi"}, share=("p2",))
    line = desired.line_of(spec_)

    found = desired.release(spec_, line, PublishCloud(name="prod"), read, disk, {"img_signature": "c2ln"})

    assert (line.alias, found.size, found.min_disk, found.min_ram) == ("mine", len(samples.DISK), 1, 512)
    properties = found.all_properties()
    assert {name: value for name, value in properties.items() if not name.startswith(release.PREFIX)} == {
        "hw_architecture": "x86_64", "os_type": "linux", "os_distro": "mine", "os_version": "13",
        "hw_disk_bus": "scsi", "img_signature": "c2ln",
    }  # fmt: skip
    assert found.members == frozenset()  # it is private


@pytest.mark.parametrize(
    ("kernel", "model", "boots"),
    [
        ("6.12.117+deb13-cloud-amd64", "e1000", False),
        ("6.12.117+deb13-cloud-amd64", "virtio", True),
        ("6.12.117+deb13-amd64", "e1000", True),
    ],
)
def test_an_image_is_not_published_for_devices_that_it_has_no_driver_for(
    build: Path, kernel: str, model: str, boots: bool
) -> None:
    """Its spec may have changed since."""
    read = finished_build.read(build)
    read = dataclasses.replace(read, manifest=dataclasses.replace(read.manifest, kernels=(kernel,)))
    spec_ = spec(properties={"hw_vif_model": model})
    line, disk = desired.line_of(spec_), finished_build.disk(read, "qcow2")

    refused = contextlib.nullcontext() if boots else pytest.raises(PublishError, match="e1000 has no")
    with refused:
        desired.release(spec_, line, PublishCloud(name="prod"), read, disk)
