# SPDX-License-Identifier: Apache-2.0
"""The timeline of a boot, in what `systemctl show` prints; times are microseconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.errors import BootError
from goldsmith.verify import timeline
from goldsmith.verify.timeline import UnitStart

SAID = """InitRDTimestampMonotonic=2000000
UserspaceTimestampMonotonic=5500000
FinishTimestampMonotonic=30000000
multi-user.target
Id=multi-user.target
InactiveExitTimestampMonotonic=29900000
ActiveEnterTimestampMonotonic=29900000
After=kubelet.service ssh.service gone.service late.service

Id=kubelet.service
InactiveExitTimestampMonotonic=20000000
ActiveEnterTimestampMonotonic=28000000
After=containerd.service basic.target

Id=containerd.service
InactiveExitTimestampMonotonic=10000000
ActiveEnterTimestampMonotonic=19000000
After=kubelet.service

Id=ssh.service
InactiveExitTimestampMonotonic=9000000
ActiveEnterTimestampMonotonic=12000000
After=

Id=late.service
InactiveExitTimestampMonotonic=29950000
ActiveEnterTimestampMonotonic=0
After=

Id=container.scope
InactiveExitTimestampMonotonic=30500000
ActiveEnterTimestampMonotonic=30500000
After=

Id=never.service
InactiveExitTimestampMonotonic=0
ActiveEnterTimestampMonotonic=0
After=
"""


def test_phases_units_and_the_chain_are_read() -> None:
    found = timeline.parse(SAID)

    assert (found.initrd_s, found.userspace_s, found.finished_s) == (2.0, 5.5, 30.0)
    assert found.chain == ("multi-user.target", "kubelet.service", "containerd.service")
    assert [unit.name for unit in found.units] == [
        "ssh.service", "containerd.service", "kubelet.service", "multi-user.target", "late.service",
    ]  # fmt: skip
    assert found.units[0] == UnitStart(name="ssh.service", begun_s=9.0, active_s=12.0)
    assert found.units[-1].active_s is None


def test_a_boot_without_initramfs_that_is_not_over() -> None:
    said = SAID.replace("=2000000", "=0", 1).replace("Finish", "Other")

    found = timeline.parse(said)

    assert (found.initrd_s, found.finished_s) == (None, None)


def test_the_text_names_what_took_longest_and_fits_its_width() -> None:
    text = timeline.as_text(timeline.parse(SAID), width=60)

    assert all(len(line) <= 60 for line in text.splitlines())
    assert "    2.00 s  initramfs\n    5.50 s  init system\n   30.00 s  boot finished" in text
    slowest = text.partition("took longest:\n")[2].splitlines()
    assert slowest[:2] == ["   10.00 s  +9.00 s  containerd.service", "   20.00 s  +8.00 s  kubelet.service"]


@pytest.mark.parametrize("said", ["", "System has not been booted with systemd", "a=1\nx\nId=a\nAfter="])
def test_a_guest_that_tells_something_else_is_an_error(fake: Callable[..., Path], said: str) -> None:
    fake("ssh", f"printf '{said}'")

    with pytest.raises(BootError, match="does not tell the timeline"):
        timeline.of_guest(Path("config"), slowness=1)
