# SPDX-License-Identifier: Apache-2.0
"""Soak test upstream: others' tests against our hooks, others' programs against what we sign and list."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from goldsmith.errors import GoldsmithError
from tests.soak import upstream_cosign, upstream_go, upstream_heat, upstream_osv
from tests.soak.upstream_go import COSIGN, OSV_SCANNER, Program
from tests.soak.upstream_reasons import NOT_RUN

_PROGRAMS: Mapping[str, tuple[Program, Callable[[Path, Path], dict[str, Any]]]] = {
    "cosign": (COSIGN, upstream_cosign.trial), "osv-scanner": (OSV_SCANNER, upstream_osv.trial),
}  # fmt: skip
TRIALS = (*upstream_heat.SUITES, *_PROGRAMS)


class Upstream:
    """Trials of `invoke soak upstream`: TRIALS in turn. compiled: programs of others by name, for a test."""

    def __init__(self, place: Path, compiled: Mapping[str, Path] | None = None) -> None:
        self.place = place
        self.compiled = compiled or {}

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """Nothing to prepare: each trial fetches what it needs, by hash."""
        return {
            "heat_agents": upstream_heat.SOURCE[0],
            "not_run": dict(NOT_RUN),
            "programs": {name: f"{p.module} {p.version} {p.sum}" for name, (p, _) in _PROGRAMS.items()},
        }

    def one(self, index: int, _choice: random.Random) -> dict[str, Any]:
        """Run one of TRIALS in a new folder; its files stay if it fails."""
        name = TRIALS[index % len(TRIALS)]
        folder = self.place / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            answer = self._run(name, folder)
        except GoldsmithError as e:
            answer = {"problems": [str(e)]}
        if not answer["problems"]:
            shutil.rmtree(folder)
        return {"trial": name, **answer}

    def finish(self) -> dict[str, Any]:
        """Nothing is left to check."""
        shutil.rmtree(self.place, ignore_errors=True)
        return {"problems": []}

    def _run(self, name: str, folder: Path) -> dict[str, Any]:
        if name not in _PROGRAMS:
            return upstream_heat.trial(name, folder)
        program, trial = _PROGRAMS[name]
        path = self.compiled.get(name) or upstream_go.compiled(program, folder, folder / "log")
        return trial(path, folder)
