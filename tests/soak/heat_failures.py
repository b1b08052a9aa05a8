# SPDX-License-Identifier: Apache-2.0
"""`soak heat-failures`: one failure around a server a trial, with real services and the real image."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import Any

from goldsmith.core import build_folders, paths
from goldsmith.errors import CloudError, VerificationError
from goldsmith.heat import checks, inputs, outputs
from goldsmith.heat.outputs import PodState
from tests.soak.heat_failure_cases import CASES
from tests.soak.heat_server import POLLING_S, TEMPLATE, Parameters, Server
from tests.support.stack_trials import SPEC, StackTrials

_LOOKS = 5  # pods that an update removes end a little after it


class Failures(StackTrials):
    """Trials of one server. After each the server must be unchanged.

    Unchanged: an update back to the spec's pods completes, and the containers of before still run.
    """

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """Start a cloud, and a server of the latest build of the default spec, with its pods."""
        build = build_folders.find_build(paths.out_root(), SPEC)
        pods = inputs.pods_of(build)
        self.begin()
        parameters = Parameters(
            image=self.cloud.images.upload(next(build.glob("*.qcow2")), build.name), pods=pods,
            script=inputs.template("verify/probe.py").read_text(),
        )  # fmt: skip
        self.create(TEMPLATE, parameters.next())
        self.server = Server(cloud=self.cloud, stack=self.stack, parameters=parameters)
        self.running = outputs.probe(self.stack).pods
        return {"build": build.name, "polling_interval_s": POLLING_S}

    def one(self, index: int, _choice: random.Random) -> dict[str, Any]:
        """The next case of the table."""
        case = CASES[index % len(CASES)]
        start = time.monotonic()
        problems = []
        try:
            case.run(self.server)
            now = _restored(self.server)
            if not case.restarts:
                checks.require_started_once(self.running, now)
            self.running = now
        except (CloudError, VerificationError) as e:
            problems.append(str(e))
        return {"case": case.title, "seconds": round(time.monotonic() - start, 1), "problems": problems}


def _restored(server: Server) -> Mapping[str, PodState]:
    """Update back to the spec's pods; the pods that run then, which must be these."""
    names = {pod["metadata"]["name"] for pod in server.pods}
    for _ in range(_LOOKS):
        stack = server.update()
        checks.require_complete(stack, "UPDATE")
        now = outputs.probe(stack).pods
        if set(now) == names:
            break
    checks.require(set(now) == names, f"the pods are {sorted(now)}, must be {sorted(names)}")
    return now
