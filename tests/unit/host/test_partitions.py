# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.errors import CommandError, HostError
from goldsmith.host import partitions

Fake = Callable[..., Path]


def test_partitions_are_mapped_by_partx_if_kpartx_fails(tmp_path: Path, fake: Fake) -> None:
    loop = tmp_path / "loop7"
    fake("sudo", 'shift; exec "$@"')
    fake("losetup", f'[ "$1" = --detach ] && echo detached >> {tmp_path}/log; echo {loop}')
    fake("kpartx", "exit 1")
    fake("partx", f'[ "$1" = --delete ] && rm {loop}p1 || touch {loop}p1')

    assert partitions.find(tmp_path) == "blkpg"
    assert (tmp_path / "log").read_text() == "detached\n"
    assert not Path(f"{loop}p1").exists()
    assert list(tmp_path.glob("*.raw")) == []


def test_a_host_without_loop_devices_is_reported_with_the_reason(tmp_path: Path, fake: Fake) -> None:
    fake("sudo", 'shift; exec "$@"')
    fake("losetup", "echo cannot find an unused loop device >&2; exit 1")

    with pytest.raises(HostError, match="cannot find an unused") as caught:
        partitions.find(tmp_path)

    assert isinstance(caught.value.__cause__, CommandError)
    assert list(tmp_path.glob("*.raw")) == []


def test_the_trial_disk_has_one_partition_up_to_its_end() -> None:
    disk = partitions.disk_with_one_partition()

    first, sectors = (int.from_bytes(disk[at : at + 4], "little") for at in (454, 458))
    assert disk[510:512] == b"\x55\xaa"
    assert (first + sectors) * 512 == len(disk)
