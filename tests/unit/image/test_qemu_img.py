# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.core.progress import PERCENT
from goldsmith.errors import CommandError
from goldsmith.image import qemu_img
from tests.support.meters import Meters


@pytest.mark.programs("qemu-img")
def test_a_converted_image_is_identical_and_another_one_is_not(tmp_path: Path, meters: Meters) -> None:
    raw, qcow2, other = tmp_path / "a.raw", tmp_path / "a.qcow2", tmp_path / "b.raw"
    raw.write_bytes(b"x" * (1 << 20))
    other.write_bytes(b"y" * (1 << 20))

    qemu_img.convert(raw, qcow2, "qcow2", format_="raw")

    assert [(meter.title, meter.unit, meter.total) for meter in meters] == [
        ("convert a.raw to qcow2", PERCENT, 100)
    ]
    assert meters[0].done == 100
    assert qemu_img.info(qcow2)["format"] == "qcow2"
    assert qemu_img.info(qcow2, format_="qcow2")["virtual-size"] == 1 << 20
    qemu_img.require_identical(qcow2, "qcow2", raw, "raw")
    with pytest.raises(CommandError, match="exited with 1"):
        qemu_img.require_identical(qcow2, "qcow2", other, "raw")


def test_an_overlay_is_larger_and_leaves_the_image_alone(tmp_path: Path, fake: Callable[..., Path]) -> None:
    calls = fake("qemu-img")

    qemu_img.create_overlay(Path("/i/image.raw"), tmp_path / "o", format_="raw", grow_mib=2048)

    assert calls.read_text().splitlines() == [
        f"create -q -f qcow2 -b /i/image.raw -F raw {tmp_path}/o",
        f"resize -q {tmp_path}/o +2048M",
    ]
