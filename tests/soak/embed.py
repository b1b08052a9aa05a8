# SPDX-License-Identifier: Apache-2.0
"""Soak test embed: build and verify the default image with each embed strategy."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldsmith import pipeline
from goldsmith.build import values
from goldsmith.errors import GoldsmithError
from goldsmith.spec.model import Embed

SPEC = "debian-kubelet"
STRATEGIES = (
    Embed.archive,
    Embed.unpacked,
    Embed.content_store,
)  # the default, which every CI run has, comes last


class EmbedTrials:
    """Trials of `invoke soak embed`: a whole build with each strategy in turn."""

    def __init__(self, place: Path) -> None:
        self.out = place

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """Nothing to prepare."""
        return {"spec": SPEC}

    def one(self, index: int, _choice: random.Random) -> dict[str, Any]:
        """Build once; report size, seconds until SSH answers, and seconds until the pods are ready."""
        strategy = STRATEGIES[index % len(STRATEGIES)]
        options = values.Options(variables={"embed": strategy.value}, out=self.out, force=True)
        try:
            manifest = pipeline.build(SPEC, options).manifest
        except GoldsmithError as e:
            return {"embed": strategy.value, "problems": [str(e)]}
        verdict = manifest.verification
        assert verdict is not None
        return {
            "embed": strategy.value,
            "build_id": manifest.build_id,
            "bytes": manifest.disk.size,
            "image_s": (manifest.stages_s or {})["image"],
            "boot_s": verdict.durations_s["boot"],
            "reboot_s": verdict.durations_s["reboot"],
            "pods_ready_s": verdict.pods_ready_s,
            "tests": verdict.tests,
            "problems": [] if verdict.pods_ready_s is not None else ["the build did not wait for pods"],
        }

    def finish(self) -> dict[str, Any]:
        """Nothing to check: a build that is not verified has failed its trial."""
        return {"problems": []}
