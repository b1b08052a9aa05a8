# SPDX-License-Identifier: Apache-2.0
"""Soak test shapes: build and verify specs of other shapes than the shipped ones, in tests/soak/shapes/."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldsmith import pipeline
from goldsmith.build import values
from goldsmith.errors import GoldsmithError
from tests.support.builds import SPEC as CUSTOM

SPECS = (CUSTOM, *sorted((Path(__file__).parent / "shapes").glob("*.yaml.j2")))


class Shapes:
    """Trials of `invoke soak shapes`: a whole build of each spec in turn."""

    def __init__(self, place: Path) -> None:
        self.out = place

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """Nothing to prepare."""
        return {"specs": [_name_of(spec) for spec in SPECS]}

    def one(self, index: int, _choice: random.Random) -> dict[str, Any]:
        """Build and verify once; report what was tested, and what the suites say they could not test."""
        spec = SPECS[index % len(SPECS)]
        answer: dict[str, Any] = {"spec": _name_of(spec), "problems": []}
        try:
            verdict = pipeline.build(
                str(spec), values.Options(out=self.out, force=True)
            ).manifest.verification
        except GoldsmithError as e:
            return {**answer, "problems": [str(e)]}
        assert verdict is not None
        return {
            **answer,
            "tests": verdict.tests,
            "not_applicable": list(verdict.not_applicable),
            "durations_s": dict(verdict.durations_s),
            "pods_ready_s": verdict.pods_ready_s,
        }

    def finish(self) -> dict[str, Any]:
        """Nothing to check: a build that is not verified has failed its trial."""
        return {"problems": []}


def _name_of(spec: Path) -> str:
    return spec.name.partition(".")[0]
