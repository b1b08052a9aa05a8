# SPDX-License-Identifier: Apache-2.0
"""How the disk of an image is cut up: partitions and file systems, for diskimage-builder. Pure."""

from __future__ import annotations

import yaml

from goldsmith.spec import Arch, ImageSpec, PartitionTable


def block_device(spec: ImageSpec, *, blkpg: bool, uuid: str | None) -> str:
    """The YAML of diskimage-builder's block-device layer. uuid: of the root file system; None: random."""
    root: dict[str, object] = {
        "name": "root",
        "flags": ["boot"],
        "size": "100%",
        "mkfs": {
            "type": "ext4",
            **({"uuid": uuid} if uuid else {}),
            "mount": {"mount_point": "/", "fstab": {"options": "defaults", "fsck-passno": 1}},
        },
    }
    boot: list[dict[str, object]] = []
    label = spec.disk.partition_table.value
    if spec.arch is Arch.arm64:
        label = "gpt"
        boot = [_efi_partition()]
    elif spec.disk.partition_table is PartitionTable.gpt:
        boot = [{"name": "BSP", "type": "EF02", "size": "8MiB"}]  # GRUB's place on a BIOS
    else:
        root["flags"] = ["boot", "primary"]
    node = "blkpg_partitioning" if blkpg else "partitioning"
    config = [
        {"local_loop": {"name": "image0"}},
        {node: {"base": "image0", "label": label, "partitions": [*boot, root]}},
    ]
    return yaml.safe_dump(config, sort_keys=False)


def _efi_partition() -> dict[str, object]:
    mount = {"mount_point": "/boot/efi", "fstab": {"options": "defaults", "fsck-passno": 2}}
    return {
        "name": "ESP",
        "type": "EF00",
        "size": "550MiB",
        "mkfs": {"type": "vfat", "opts": "-F 32 -s 1", "mount": mount},
    }
