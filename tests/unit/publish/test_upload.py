# SPDX-License-Identifier: Apache-2.0
"""What publishing is made of besides the plan: builds, records, journal, properties, bodies, notes."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from goldsmith.errors import PublishError
from goldsmith.image.finished_build import DiskFile
from goldsmith.publish.model import Limits
from goldsmith.publish.upload import Sending

DISK = b"a disk" * 400_000


def sha(data: bytes, algorithm: str = "sha256") -> str:
    return hashlib.new(algorithm, data).hexdigest()


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A build folder as build-image leaves it."""
    folder = tmp_path / "out/mine/20260301T120000Z-abcdefa"
    folder.mkdir(parents=True)
    (folder / "mine-amd64.qcow2").write_bytes(DISK)
    packages = json.dumps({"packages": [{"name": "bash", "version": "5.2"}], "kernels": ["6.1"]})
    (folder / "packages.json").write_text(packages)
    disk = {
        "file": "mine-amd64.qcow2", "format": "qcow2", "size": len(DISK), "virtual_size": 1 << 30,
        "sha256": sha(DISK), "sha512": sha(DISK, "sha512"),
    }  # fmt: skip
    write(
        folder,
        {
            "build_id": folder.name, "disks": [disk], "files": {"packages.json": sha(packages.encode())},
            "verification": {"result": "passed", "image_sha256": disk["sha256"]}, "containers": [],
            "elements": {"e": "1"}, "kernels": ["6.1"], "kubelet": None, "min_disk_gib": 1,
            "min_ram_mib": 512,
        },
    )  # fmt: skip
    return folder


def write(folder: Path, manifest: dict[str, Any]) -> None:
    (folder / "manifest.json").write_text(json.dumps(manifest))


def sending(path: Path, limits: Limits | None = None) -> Sending:
    disk = DiskFile(
        path=path,
        format="qcow2",
        size=len(DISK),
        sha256=sha(DISK),
        sha512=sha(DISK, "sha512"),
    )
    return Sending(disk, "prod", limits or Limits(until=time.monotonic() + 60, stop=threading.Event()))


def test_what_is_sent_is_the_file_piece_by_piece(build: Path) -> None:
    body = sending(build / "mine-amd64.qcow2")

    pieces = list(body)

    assert b"".join(pieces) == DISK
    assert len(body) == len(DISK)
    assert len(pieces) == 3
    assert not hasattr(body, "read"), "requests would read it in small blocks"


def test_a_file_that_became_shorter_ends_the_upload(build: Path) -> None:
    body = sending(build / "mine-amd64.qcow2")
    (build / "mine-amd64.qcow2").write_bytes(DISK[:10])
    with pytest.raises(PublishError, match="became shorter while it was uploaded"):
        list(body)
    assert body.is_spoilt, "nothing is gained by another try"


def test_the_deadline_and_an_interrupt_end_an_upload(build: Path) -> None:
    with pytest.raises(PublishError, match="only 0 of 2400000 bytes were sent at the deadline"):
        list(sending(build / "mine-amd64.qcow2", Limits(until=time.monotonic() - 1, stop=threading.Event())))
    stop = threading.Event()
    stop.set()
    with pytest.raises(PublishError, match="interrupted: prod: only 0 of"):
        list(sending(build / "mine-amd64.qcow2", Limits(until=time.monotonic() + 60, stop=stop)))
