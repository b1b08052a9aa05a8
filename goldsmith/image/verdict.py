# SPDX-License-Identifier: Apache-2.0
"""The verdict of a verification, which is part of the manifest of a build."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from goldsmith.core.documents import Document, about
from goldsmith.errors import VerificationError


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """passed: every test of every phase passed, and no byte of the image changed.

    quick: the same as far as build-image --quick has tested, which is no verification.
    """

    result: Annotated[
        Literal["passed", "failed", "quick"],
        about("Whether the image may be used; quick: nobody knows, its tests ended after the first boot."),
    ]
    tests: Annotated[int, about("Number of tests that ran, of all phases.")]
    failed: Annotated[tuple[str, ...], about("Tests that failed: PHASE: TEST: MESSAGE.")]
    skipped: Annotated[tuple[str, ...], about("Tests that were skipped: PHASE: TEST: REASON.")]
    not_applicable: Annotated[
        tuple[str, ...], about("Tests left out because the image does not claim what they test.")
    ]
    uncovered_images: Annotated[tuple[str, ...], about("Embedded images that no pod of the spec runs.")]
    image_sha256: Annotated[str, about("Hex sha256 of the disk image, before and after the tests.")]
    accelerator: Annotated[str, about("Accelerator of the test VM: kvm or tcg.")]
    durations_s: Annotated[Mapping[str, float], about("Seconds of each phase that ran.")] = field(
        default_factory=dict
    )
    pods_ready_s: Annotated[float | None, about("Seconds until all pods were ready; null without pods.")] = (
        None
    )
    emulator_faults: Annotated[int, about("VMs that QEMU's emulation lost before this one.")] = 0

    @property
    def passed(self) -> bool:
        return self.result == "passed"

    def require(self, out: Path) -> None:
        """Raise VerificationError with the failed tests, if there are any. out: folder of the report."""
        if self.result != "failed":
            return
        shown = "".join(f"\n  | {line}" for line in self.failed)
        raise VerificationError(
            f"{len(self.failed)} of {self.tests} tests failed{shown}",
            hint=f"see {out / 'junit.xml'}", failed=self.failed,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class VerdictAnswer(Verdict, Document):
    """The verdict on one disk image: the answer of verify-image."""

    SCHEMA: ClassVar[str] = "goldsmith.verdict"

    @classmethod
    def of(cls, verdict: Verdict) -> VerdictAnswer:
        """The verdict as a document."""
        return cls(**{each.name: getattr(verdict, each.name) for each in dataclasses.fields(verdict)})
