# SPDX-License-Identifier: Apache-2.0
"""Soak test hardware: boot the default image on each kind of machine, disk and network card."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldsmith.core import build_folders, paths, proc, runs
from goldsmith.errors import GoldsmithError
from goldsmith.host import accelerator
from goldsmith.spec.model import VerifySpec
from goldsmith.verify import qemu
from goldsmith.verify.guest import Machine
from goldsmith.verify.qemu import Bus, Devices
from tests.support.mutations import SPEC

KINDS = (
    *(Devices(machine=machine, disks=bus) for machine in ("pc", "q35") for bus in Bus),
    Devices(machine="q35", cards="vmxnet3"),
)
NO_DRIVER = Devices(cards="e1000")  # in an image for virtual hardware: docs/image-contents.md
ALL = (*KINDS, NO_DRIVER)
_ROOT = {Bus.virtio_blk: "vd", Bus.virtio_scsi: "sd", Bus.sata: "sd", Bus.nvme: "nvme"}


class OnHardware:
    """Trials of `invoke soak hardware`: the latest verified build on ALL in turn."""

    def __init__(self, _place: Path) -> None:
        """No files of its own."""

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """Find the image. Raises SpecError if there is no verified build."""
        self.image = build_folders.find_qcow2(paths.out_root(), SPEC)
        return {"image": self.image.parent.name}

    def one(self, index: int, _choice: random.Random) -> dict[str, Any]:
        """Boot once, log in with the key of the config drive, and look at the root's disk."""
        devices = ALL[index % len(ALL)]
        start = time.monotonic()
        problems = list(self._problems(devices))
        return {
            **dataclasses.asdict(devices),
            "seconds": round(time.monotonic() - start, 1),
            "problems": problems,
        }

    def finish(self) -> dict[str, Any]:
        """Nothing to check: each VM has an overlay of its own."""
        return {"problems": []}

    def _without_card(self, scratch: Path) -> list[str]:
        """It did not answer: that it has booted nevertheless says that only the card has no driver."""
        booted = "login:" in qemu.read_console(scratch / "console.log")
        return [] if booted else ["it did not boot at all, whatever its card"]

    def _problems(self, devices: Devices) -> list[str]:
        settings = VerifySpec()
        with runs.run() as run:
            found = accelerator.find(log_path=run.folder / "qemu.log")
            machine = Machine(
                self.image, run.folder, user="debian", args=found.args, memory_mib=settings.memory_mib,
                cpus=settings.cpus, devices=devices,
            )  # fmt: skip
            deadline_s = settings.boot_deadline_s * found.slowness
            try:
                with machine.powered_on() as vm:
                    guest = machine.booted(vm, deadline_s=deadline_s)
                    source = proc.capture(
                        ["ssh", "-F", guest.ssh_config, "guest", "findmnt -no SOURCE /"], timeout_s=120
                    ).strip()
            except GoldsmithError as e:
                return self._without_card(run.folder) if devices == NO_DRIVER else [str(e)]
        if devices == NO_DRIVER:
            return ["it has a network, so docs/image-contents.md is wrong about this card"]
        right = source.startswith(f"/dev/{_ROOT[devices.disks]}")
        return [] if right else [f"the root is on {source}"]
