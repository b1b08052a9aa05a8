# SPDX-License-Identifier: Apache-2.0
"""The plugin as diskimage-builder calls it; commands are recorded, not run."""

from __future__ import annotations

import importlib.metadata
import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml
from diskimage_builder.block_device.exception import BlockDeviceSetupException
from diskimage_builder.block_device.level1 import partitioning

from goldsmith.image import blkpg, dib_plan
from goldsmith.spec.model import Distribution, ImageSpec

SPEC = ImageSpec(name="mine", distribution=Distribution.debian, release="trixie", containers=())


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    done: list[list[str]] = []
    for module in (partitioning, blkpg):
        monkeypatch.setattr(module, "exec_sudo", done.append)
    return done


@pytest.fixture
def node(tmp_path: Path) -> Any:
    """The plugin with the configuration of a plan, on a disk of 1 GiB."""
    disk = tmp_path / "image0.raw"
    with disk.open("wb") as sink:
        sink.truncate(1024**3)
    inputs = dib_plan.Inputs(elements=Path("e"), identity=Path("i"), scratch=Path("s"), blkpg=True)
    _, config = yaml.safe_load(dib_plan.plan(SPEC, inputs).block_device)
    for partition in config["blkpg_partitioning"]["partitions"]:
        partition["base"] = "image0"
    state = {"blockdev": {"image0": {"image": str(disk), "device": "/dev/loop7"}}}
    return blkpg.BlkpgPartitioning(config["blkpg_partitioning"], {}, state)


def test_diskimage_builder_finds_the_plugin_by_the_name_in_plans() -> None:
    group = importlib.metadata.entry_points(group="diskimage_builder.block_device.plugin")

    assert group["blkpg_partitioning"].load() is blkpg.BlkpgPartitioning


def test_the_table_is_written_once_and_the_partitions_added(node: Any, commands: list[list[str]]) -> None:
    for partition in node.get_nodes():
        partition.create()

    assert [argv[0] for argv in commands] == ["sgdisk", "sync", "partx"]
    assert commands[-1] == ["partx", "--add", "/dev/loop7"]


def test_partitions_are_where_the_kernel_puts_them(node: Any, commands: list[list[str]]) -> None:
    node.create()

    devices = {name: about["device"] for name, about in node.state["blockdev"].items()}
    assert devices == {"image0": "/dev/loop7", "BSP": "/dev/loop7p1", "root": "/dev/loop7p2"}


def test_the_last_call_deletes_the_partitions(node: Any, commands: list[list[str]]) -> None:
    for partition in node.get_nodes():
        partition.create()
    commands.clear()

    first, last = node.get_nodes()
    first.umount()
    assert commands == []
    last.umount()

    assert commands == [["partx", "--delete", "/dev/loop7"]]


def test_a_rollback_deletes_the_partitions_without_device_mapper(
    node: Any, commands: list[list[str]]
) -> None:
    node.create()
    commands.clear()

    for partition in node.get_nodes():
        partition.rollback()

    assert commands == [["partx", "--delete", "/dev/loop7"]]


def test_a_rollback_does_not_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_argv: list[str]) -> None:
        raise BlockDeviceSetupException

    monkeypatch.setattr(blkpg, "exec_sudo", fails)

    blkpg._delete_partitions("/dev/loop7")


def test_the_plugin_can_be_pickled_between_two_calls(node: Any, commands: list[list[str]]) -> None:
    """disk-image-create calls dib-block-device again and again; the nodes are pickled in between."""
    for partition in node.get_nodes():
        partition.create()

    again = pickle.loads(pickle.dumps(node))  # noqa: S301 - as diskimage-builder does

    assert again.number_of_partitions == 2
    assert again.device_path == "/dev/loop7"
