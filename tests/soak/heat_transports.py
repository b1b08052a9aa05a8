# SPDX-License-Identifier: Apache-2.0
"""verify-heat by the other roads: the transports, the datasource and the hooks that CI has no time for."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.core import paths
from goldsmith.errors import GoldsmithError
from goldsmith.heat import verify
from goldsmith.heat.acceptance import Wishes
from tests.soak.heat_cloud import FLAVOR, SPEC


@dataclass(frozen=True, kw_only=True, slots=True)
class Road:
    """What is proven, and how."""

    name: str
    spec: str
    wishes: Wishes


ROADS = (
    Road(
        name="Swift's temporary URLs, both ways", spec=SPEC,
        wishes=Wishes(flavor=FLAVOR, poll_transport="POLL_TEMP_URL", signal_transport="TEMP_URL_SIGNAL"),
    ),
    Road(
        name="the CFN API, both ways", spec=SPEC,
        wishes=Wishes(flavor=FLAVOR, poll_transport="POLL_SERVER_CFN", signal_transport="CFN_SIGNAL"),
    ),
    Road(name="every hook", spec="debian-heat-full", wishes=Wishes(flavor=FLAVOR)),
    Road(name="no config drive", spec=SPEC, wishes=Wishes(flavor=FLAVOR, config_drive=False)),
)  # fmt: skip


class Roads:
    """Trials of `invoke soak heat-roads`: one of ROADS each, with the latest verified build of its spec."""

    def __init__(self, _place: Path) -> None:
        self.out = paths.out_root()

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """Each verification has a cloud of its own."""
        return {"roads": [road.name for road in ROADS]}

    def one(self, index: int, _choice: random.Random) -> dict[str, Any]:
        """A whole verification: the build, seconds of each step, and what was measured."""
        road = ROADS[index % len(ROADS)]
        trial = {"road": road.name, "spec": road.spec}
        try:
            verdict = verify.verify(self.out, road.spec, cloud="", wishes=road.wishes)
        except GoldsmithError as e:
            return {**trial, "problems": [str(e)]}
        return {
            **trial, "image_sha256": verdict["image_sha256"],
            "seconds": {step["name"]: step["seconds"] for step in verdict["steps"]},
            "figures": verdict["figures"], "problems": [],
        }  # fmt: skip

    def finish(self) -> dict[str, Any]:
        """A verification looks itself at what is left."""
        return {"problems": []}
