# SPDX-License-Identifier: Apache-2.0
"""The proof of the main job's build in a cloud, which is at work while other tests run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from goldsmith.core import proc


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """A verification in a cloud that runs in the background."""

    process: proc.Process
    log: Path

    def ended_well(self) -> None:
        """Wait for its end."""
        assert proc.ends_within(self.process, 1800), self.log.read_text()
        assert self.process.returncode == 0, self.log.read_text()
