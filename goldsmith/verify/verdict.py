# SPDX-License-Identifier: Apache-2.0
"""What a verification says of an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goldsmith.errors import VerificationError


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """passed is true when every test of every phase passed and the image is byte for byte as before."""

    passed: bool
    tests: int
    failed: tuple[str, ...]
    skipped: tuple[str, ...]
    not_applicable: tuple[str, ...]
    uncovered: tuple[str, ...]  # embedded images that no pod was run from
    sha256: str
    accelerator: str
    durations_s: Mapping[str, float] = field(default_factory=dict)
    pods_ready_s: float | None = None  # from the pod manifests being there to all of them ready
    emulator_faults: int = 0  # VMs that QEMU's emulation lost before the one that was judged

    def as_dict(self) -> dict[str, Any]:
        """The form that manifest.json and --json show."""
        return {
            "result": "passed" if self.passed else "failed",
            "tests": self.tests,
            "failed": list(self.failed),
            "skipped": list(self.skipped),
            "not_applicable": list(self.not_applicable),
            "uncovered_images": list(self.uncovered),
            "image_sha256": self.sha256,
            "accelerator": self.accelerator,
            "durations_s": dict(self.durations_s),
            "pods_ready_s": self.pods_ready_s,
            "emulator_faults": self.emulator_faults,
        }

    def require(self, out: Path) -> None:
        """Raise VerificationError, naming what failed, unless it passed; out has the report."""
        if self.passed:
            return
        shown = "".join(f"\n  | {line}" for line in self.failed)
        raise VerificationError(
            f"{len(self.failed)} of {self.tests} tests failed{shown}", hint=f"see {out / 'junit.xml'}"
        )
