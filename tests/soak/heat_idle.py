# SPDX-License-Identifier: Apache-2.0
"""`soak heat-idle`: the CPU time of the agent on a server that has nothing to do."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import Any

from goldsmith.core import build_folders, paths
from goldsmith.core.documents import as_data
from goldsmith.heat import inputs, outputs, report
from goldsmith.heat.outputs import Probe
from tests.support.stack_trials import BOOT_S, FLAVOR, NETWORK, SPEC, StackTrials

_IDLE_POLLING_S, _IDLE_S, _IDLE_SHARE = 60, 600, 0.01


class Idle(StackTrials):
    """Trials of a server that has nothing to do."""

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """Start a cloud, and a server of the latest build of the default spec, with its pods."""
        build = build_folders.find_build(paths.out_root(), SPEC)
        self.pods = inputs.pods_of(build)
        self.begin()
        self.image = self.cloud.images.upload(next(build.glob("*.qcow2")), build.name)
        self.create("verify/verify.yaml", self._parameters("created"))
        return {"build": build.name, "polling_interval_s": _IDLE_POLLING_S, "idle_s": _IDLE_S}

    def one(self, index: int, _choice: random.Random) -> dict[str, Any]:
        """Ten minutes between two probes: the agent's share of a core of this host, with one deployment."""
        before = self._probe(f"{index} begin")
        start = time.monotonic()
        time.sleep(_IDLE_S)
        after = self._probe(f"{index} end")
        spent = report.cost(before, after)
        share = spent.cpu_host_s / (time.monotonic() - start)
        problems = [] if share < _IDLE_SHARE else [f"the agent took {share:.2%} of a core"]
        return {**as_data(spent), "share_of_a_core": round(share, 5), "problems": problems}

    def _probe(self, reason: str) -> Probe:
        template = inputs.template("verify/verify.yaml")
        done = self.cloud.stacks.update(self.stack, template, self._parameters(reason), timeout_s=BOOT_S)
        return outputs.probe(done)

    def _parameters(self, reason: str) -> dict[str, Any]:
        return {
            "image": self.image, "flavor": FLAVOR, "network": NETWORK, "pods": self.pods,
            "pods_deadline": 300, "polling_interval": _IDLE_POLLING_S, "reason": reason,
        }  # fmt: skip
