# SPDX-License-Identifier: Apache-2.0
"""Create partitions on hosts without device-mapper: a block-device plugin for diskimage-builder.

diskimage-builder's `partitioning` maps partitions with kpartx, which needs device-mapper. This plugin uses
the kernel's BLKPG ioctl (through partx) and is otherwise the same. prepare.py selects one of the two.
Entry point: diskimage_builder.block_device.plugin (stevedore), name blkpg_partitioning.
"""

from __future__ import annotations

from typing import Any

from diskimage_builder.block_device.exception import BlockDeviceSetupException
from diskimage_builder.block_device.level1.partitioning import Partitioning
from diskimage_builder.block_device.utils import exec_sudo

_MAPPER = "/dev/mapper/"


class BlkpgPartitioning(Partitioning):  # type: ignore[misc] # diskimage-builder is untyped
    """The `partitioning` node, same keys, with partitions at /dev/loopNpM."""

    def create(self) -> None:
        """Write the partition table and add the partitions. Called for every partition, acts at the first."""
        self.number_of_partitions += 1
        if self.number_of_partitions > 1:
            return
        base = self.state["blockdev"][self.base]
        self.image_path, self.device_path = base["image"], base["device"]
        self.disk_size = self._size_of_block_dev(self.image_path)
        if self.label == "mbr":
            self._create_mbr()
        else:
            self._create_gpt()
        for partition in self.partitions:
            node: dict[str, Any] = self.state["blockdev"][partition.get_name()]
            node["device"] = "/dev/" + node["device"].removeprefix(_MAPPER)
            partition.rollbacks.clear()  # those of the parent class remove device-mapper nodes
        exec_sudo(["sync"])
        exec_sudo(["partx", "--add", self.device_path])
        self.partitions[0].add_rollback(_delete_partitions, self.device_path)

    def umount(self) -> None:
        """Delete the partitions. Called for every partition, acts at the last."""
        self.number_of_partitions -= 1
        if self.number_of_partitions == 0:
            exec_sudo(["partx", "--delete", self.state["blockdev"][self.base]["device"]])


def _delete_partitions(device: str) -> None:
    try:
        exec_sudo(["partx", "--delete", device])
    except BlockDeviceSetupException:
        return  # a rollback must not fail; the clean-up of the run deletes them later
