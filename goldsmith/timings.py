# SPDX-License-Identifier: Apache-2.0
"""What a build's stages took, and what provenance took in them: timings.json."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from goldsmith import artifact, progress


class Timings:
    """Seconds per stage, as they are spent."""

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}
        progress.shares()

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Announce a stage and take its time."""
        start = time.monotonic()
        with progress.step(name):
            yield
        self.stages[name] = round(time.monotonic() - start, 2)

    def as_dict(self) -> dict[str, Any]:
        """The content of timings.json; what provenance took is within the stages' seconds."""
        total = round(sum(self.stages.values()), 2)
        return {
            "schema": artifact.TIMINGS_SCHEMA, "version": 1, "stages_s": dict(self.stages), "total_s": total,
            "provenance_s": progress.shares(),
        }  # fmt: skip
