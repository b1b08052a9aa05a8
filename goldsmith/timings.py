# SPDX-License-Identifier: Apache-2.0
"""What a build's stages took, and what provenance took in them: timings.json."""

from __future__ import annotations

import contextlib
from typing import Any

from goldsmith import artifact, progress


class Timings:
    """Seconds per stage, as they are spent."""

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}
        progress.shares()

    def stage(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Announce a stage and take its time."""
        return progress.timed(name, self.stages)

    def as_dict(self) -> dict[str, Any]:
        """The content of timings.json; what provenance took is within the stages' seconds."""
        total = round(sum(self.stages.values()), 2)
        return {
            "schema": artifact.TIMINGS_SCHEMA, "version": 1, "stages_s": dict(self.stages), "total_s": total,
            "provenance_s": progress.shares(),
        }  # fmt: skip
