# SPDX-License-Identifier: Apache-2.0
"""The default image with its containers embedded in each of the ways: built, booted, rebooted, verified."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldsmith import pipeline
from goldsmith.errors import GoldsmithError
from goldsmith.spec.model import Embed

SPEC = "debian-kubelet"
STRATEGIES = (Embed.archive, Embed.unpacked, Embed.content_store)  # the one of every CI run comes last


class EmbedTrials:
    """Trials of `invoke soak embed`: the strategies in turn, a whole build of each."""

    def __init__(self, place: Path) -> None:
        self.out = place

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """Nothing is needed but what a build needs."""
        return {"spec": SPEC}

    def one(self, index: int, _choice: random.Random) -> dict[str, Any]:
        """One build: its size, and its seconds to the SSH server and from the manifests to ready pods."""
        strategy = STRATEGIES[index % len(STRATEGIES)]
        options = pipeline.Options(variables={"embed": strategy.value}, out=self.out)
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
            "problems": [] if verdict.pods_ready_s is not None else ["no pod was waited for"],
        }

    def finish(self) -> dict[str, Any]:
        """Nothing is left to look at: a build that is not verified has failed its trial."""
        return {"problems": []}
