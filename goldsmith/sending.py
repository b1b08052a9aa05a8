# SPDX-License-Identifier: Apache-2.0
"""A disk image on its way to a cloud: read in pieces, its progress shown."""

from __future__ import annotations

import time
from collections.abc import Iterator

from goldsmith import progress
from goldsmith.buildrecord import DiskFile
from goldsmith.errors import PublishError
from goldsmith.publishstep import Limits

_CHUNK = 1 << 20


class Sending:
    """Iterable once, with a length, as requests wants a body that it is to stream.

    Raises PublishError past the deadline, when it is interrupted, and where the file became shorter. That
    Glance has the right bytes is seen by Glance's own hash afterwards.
    """

    def __init__(self, disk: DiskFile, cloud: str, limits: Limits) -> None:
        self.disk, self.cloud, self.limits = disk, cloud, limits
        self.is_spoilt = False  # a further try would fail as well

    def __len__(self) -> int:
        return self.disk.size

    def __iter__(self) -> Iterator[bytes]:
        sent, start = 0, time.monotonic()
        with self.disk.path.open("rb") as source:
            while piece := source.read(_CHUNK):
                self._require(sent)
                yield piece
                sent += len(piece)
                progress.live(f"{self.cloud}: {_rate(sent, len(self), time.monotonic() - start)}")
        if sent < self.disk.size:
            self.is_spoilt = True
            raise PublishError(f"{self.cloud}: {self.disk.path} became shorter while it was uploaded")

    def _require(self, sent: int) -> None:
        try:
            self.limits.require(f"{self.cloud}: only {sent} of {len(self)} bytes were sent")
        except PublishError:
            self.is_spoilt = True
            raise


def _rate(sent: int, size: int, seconds: float) -> str:
    """'120.0 MiB of 448.0 MiB, 40.0 MiB/s, 8 s left'."""
    rate = sent / max(seconds, 0.001)
    done = f"{progress.human_bytes(sent)} of {progress.human_bytes(size)}"
    return f"{done}, {progress.human_bytes(int(rate))}/s, {(size - sent) / rate:.0f} s left"
