# SPDX-License-Identifier: Apache-2.0
"""The acceptance test of the main job's build, which runs in the background of other tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from goldsmith.core import proc


@dataclass(frozen=True, kw_only=True, slots=True)
class Acceptance:
    """A running verify-heat."""

    process: proc.Process
    log: Path

    def require_success(self) -> None:
        """Wait for its end, which must be a success."""
        assert proc.ends_within(self.process, 1800), self.log.read_text()
        assert self.process.returncode == 0, self.log.read_text()
