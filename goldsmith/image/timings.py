# SPDX-License-Identifier: Apache-2.0
"""How long the stages of a build took: timings.json, and what a terminal shows while the next one runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from goldsmith.core import build_folders, progress
from goldsmith.core.documents import Document, about
from goldsmith.errors import GoldsmithError
from goldsmith.image import manifest
from goldsmith.image.manifest import Manifest


@dataclass(frozen=True, kw_only=True, slots=True)
class TimingsRecord(Document):
    """timings.json: how long a build took."""

    SCHEMA: ClassVar[str] = "goldsmith.timings"

    stages_s: Annotated[Mapping[str, float], about("Seconds of each stage that ended.")]
    total_s: Annotated[float, about("Their sum.")]
    provenance_s: Annotated[
        Mapping[str, float], about("Seconds within the stages that locks, scans and signatures took.")
    ] = field(default_factory=dict)


class Timings:
    """Seconds per stage, collected while a build runs."""

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}
        progress.shares()

    def stage(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Announce a stage and measure its duration."""
        return progress.timed(name, self.stages)

    @contextlib.contextmanager
    def shown(self, builds: Path) -> Iterator[None]:
        """Show the block on a terminal as a build, with how long the latest one in builds (out/NAME) took."""
        stages, phases = _latest(builds)
        before_s = sum(self.stages.values())
        last_s = sum(stages.values()) - before_s if stages else None
        with (
            progress.under_way(builds.name, last_time_s=last_s),
            progress.expecting({**phases, **stages}),
        ):
            yield

    def record(self) -> TimingsRecord:
        """The durations so far. Call it once: it resets the shares in core.progress."""
        total = round(sum(self.stages.values()), 2)
        return TimingsRecord(stages_s=dict(self.stages), total_s=total, provenance_s=progress.shares())


def _latest(builds: Path) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Seconds of the stages and of the phases of verification of the latest verified build; empty without."""
    try:
        found = Manifest.read(builds / build_folders.LATEST / manifest.FILE)
    except (OSError, GoldsmithError):  # none, or one that this release cannot read
        return {}, {}
    verdict = found.verification
    return found.stages_s or {}, {} if verdict is None else verdict.durations_s
