# SPDX-License-Identifier: Apache-2.0
"""`soak heat-transports`: verify-heat with the transports, datasource and hooks that CI has no time for."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.core import paths
from goldsmith.core.documents import as_data
from goldsmith.errors import GoldsmithError
from goldsmith.heat import verify
from goldsmith.heat.acceptance import Options
from tests.support.stack_trials import FLAVOR, SPEC


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """A spec, and the options with which its build is verified."""

    name: str
    spec: str
    options: Options


VARIANTS = (
    Variant(
        name="Swift's temporary URLs, both ways", spec=SPEC,
        options=Options(flavor=FLAVOR, poll_transport="POLL_TEMP_URL", signal_transport="TEMP_URL_SIGNAL"),
    ),
    Variant(
        name="the CFN API, both ways", spec=SPEC,
        options=Options(flavor=FLAVOR, poll_transport="POLL_SERVER_CFN", signal_transport="CFN_SIGNAL"),
    ),
    Variant(name="every hook", spec="debian-heat-full", options=Options(flavor=FLAVOR)),
    Variant(name="no config drive", spec=SPEC, options=Options(flavor=FLAVOR, config_drive=False)),
)  # fmt: skip


class Transports:
    """Trials of one variant each, with the latest verified build of its spec.

    The key of a variant in reports is "road", as in earlier reports.
    """

    def __init__(self, _folder: Path) -> None:
        self.out = paths.out_root()

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """Each verification has its own cloud."""
        return {"roads": [variant.name for variant in VARIANTS]}

    def one(self, index: int, _choice: random.Random) -> dict[str, Any]:
        """A whole verification: the build, seconds of each step, and the measurements."""
        variant = VARIANTS[index % len(VARIANTS)]
        trial = {"road": variant.name, "spec": variant.spec}
        try:
            verdict = verify.verify(self.out, variant.spec, cloud="", options=variant.options)
        except GoldsmithError as e:
            return {**trial, "problems": [str(e)]}
        return {
            **trial, "image_sha256": verdict.image_sha256,
            "seconds": {step.name: step.seconds for step in verdict.steps},
            "figures": as_data(verdict.figures), "problems": [],
        }  # fmt: skip

    def finish(self) -> dict[str, Any]:
        """Each verification has checked itself for leftovers."""
        return {"problems": []}
