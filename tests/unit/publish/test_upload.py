# SPDX-License-Identifier: Apache-2.0
"""The body of an upload."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from goldsmith.errors import PublishError
from goldsmith.image.finished_build import DiskFile
from goldsmith.publish.model import Limits
from goldsmith.publish.upload import UploadBody
from tests.support import samples
from tests.support.meters import Meters


def body_of(path: Path, limits: Limits | None = None) -> UploadBody:
    disk = DiskFile(
        path=path,
        format="qcow2",
        size=len(samples.DISK),
        sha256=samples.sha(samples.DISK),
        sha512=samples.sha(samples.DISK, "sha512"),
    )
    return UploadBody(disk, "prod", limits or Limits(until=time.monotonic() + 60, stop=threading.Event()))


def test_the_file_is_sent_piece_by_piece(build: Path) -> None:
    body = body_of(build / "mine-amd64.qcow2")

    pieces = list(body)

    assert b"".join(pieces) == samples.DISK
    assert len(body) == len(samples.DISK)
    assert len(pieces) == 3
    assert not hasattr(body, "read"), "requests would read it in small blocks"


def test_how_far_an_upload_is_counts_what_was_taken(build: Path, meters: Meters) -> None:
    pieces = iter(body_of(build / "mine-amd64.qcow2"))
    next(pieces)
    assert meters[0].seen == []

    next(pieces)

    assert (meters[0].total, meters[0].seen) == (len(samples.DISK), [(1 << 20, "")])


def test_a_file_that_became_shorter_ends_the_upload(build: Path) -> None:
    body = body_of(build / "mine-amd64.qcow2")
    (build / "mine-amd64.qcow2").write_bytes(samples.DISK[:10])
    with pytest.raises(PublishError, match="became shorter while it was uploaded"):
        list(body)
    assert body.is_final, "another try would fail as well"


def test_the_deadline_and_an_interrupt_end_an_upload(build: Path) -> None:
    with pytest.raises(PublishError, match="only 0 of 2400000 bytes were sent at the deadline"):
        list(body_of(build / "mine-amd64.qcow2", Limits(until=time.monotonic() - 1, stop=threading.Event())))
    stop = threading.Event()
    stop.set()
    with pytest.raises(PublishError, match="interrupted: prod: only 0 of"):
        list(body_of(build / "mine-amd64.qcow2", Limits(until=time.monotonic() + 60, stop=stop)))
