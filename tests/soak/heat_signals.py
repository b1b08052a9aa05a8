# SPDX-License-Identifier: Apache-2.0
"""`soak heat-signal` and `soak heat-engine`: deployments while parts of Heat stop and start."""

from __future__ import annotations

import contextlib
import math
import random
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from goldsmith.core import build_folders, paths
from goldsmith.devcloud import backends, lifecycle
from goldsmith.devcloud.start import Options
from goldsmith.errors import CloudError
from goldsmith.heat import inputs
from goldsmith.heat.stacks import Stack
from tests.support.background import beside
from tests.support.stack_trials import BOOT_S, FLAVOR, NETWORK, SPEC, StackTrials

_ANSWERS_S = 600  # for an update of deployments; on a busy host some took 180 s
_POLLING_S = 2
_DEPLOYMENTS = 4  # in each trial
_DISTURBED_S, _STUCK_S = 30, 60  # of a trial that kills the engine; when an update is sent again
_DOWN_S, _UP_S = (0.5, 8.0), (1.0, 10.0)  # how long a part of Heat is stopped, and runs


class Signals(StackTrials):
    """Trials of `soak heat-signal`: updates of deployments, while Heat's ports close and open at random.

    A trial is good if Heat's record of each deployment is COMPLETE with the answer to its word.
    """

    parts: tuple[str, ...] = ("heat-api",)
    is_repeated = False  # whether an update that fails or hangs is sent again, as a user would do
    disturbed_s = math.inf  # how long parts of Heat stop and start in each trial

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """Start a cloud, and a server of the latest build of the default spec."""
        build = build_folders.find_build(paths.out_root(), SPEC)
        disk = next(build.glob("*.qcow2"))
        self.begin()
        self.image = self.cloud.images.upload(disk, build.name)
        self.create("verify/signals.yaml", self._parameters("first", "HEAT_SIGNAL"))
        return {
            "build": build.name, "polling_interval_s": _POLLING_S, "deployments_each": _DEPLOYMENTS,
        }  # fmt: skip

    def one(self, index: int, choice: random.Random) -> dict[str, Any]:
        """One update, with a random signal transport; every fifth is overtaken by another update."""
        word = f"{index}-{choice.getrandbits(32):08x}"
        transport = choice.choice(["HEAT_SIGNAL", "CFN_SIGNAL"])
        overtaken_s = round(choice.uniform(0.5, 6.0), 1) if index % 5 == 4 else None
        start = time.monotonic()
        with self._disturbed(choice) as away:
            if overtaken_s is not None:
                self._begin_update(self._parameters(f"{word}-overtaken", transport))
                time.sleep(overtaken_s)
            self._begin_update(self._parameters(word, transport))
            repeated, problems = self._ended(word, transport)
        return {
            "transport": transport, "seconds": round(time.monotonic() - start, 1), "away_s": away,
            "overtaken_after_s": overtaken_s, "repeated": repeated, "problems": problems,
        }  # fmt: skip

    def _parameters(self, word: str, transport: str) -> dict[str, Any]:
        return {
            "image": self.image, "flavor": FLAVOR, "network": NETWORK, "word": word,
            "count": _DEPLOYMENTS, "signal_transport": transport, "polling_interval": _POLLING_S,
        }  # fmt: skip

    def _begin_update(self, parameters: Mapping[str, Any]) -> None:
        """Send it until Heat accepts it; one that met closed ports may have arrived or not."""
        template = inputs.template("verify/signals.yaml")
        while True:
            try:
                self.cloud.stacks.begin_update(self.stack, template, parameters, timeout_s=BOOT_S)
                return
            except CloudError:
                time.sleep(0.5)

    def _ended(self, word: str, transport: str) -> tuple[int, list[str]]:
        """Wait for the end of the update: how often it was sent again, and its problems."""
        asked, repeated = time.monotonic(), 0
        deadline = asked + _ANSWERS_S
        while time.monotonic() < deadline:
            with contextlib.suppress(CloudError):
                stack = self.cloud.stacks.get(self.stack.id)
                has_failed = stack.status.endswith("_FAILED")
                if stack.status.endswith("_COMPLETE") or (has_failed and not self.is_repeated):
                    records = [
                        self.cloud.stacks.deployment(each) for each in stack.outputs["deployments"] or ()
                    ]
                    return repeated, _judge(stack, records, word)
                if self.is_repeated and (has_failed or time.monotonic() > asked + _STUCK_S):
                    asked, repeated = time.monotonic(), repeated + 1
                    self._begin_update(self._parameters(word, transport))
            time.sleep(1)
        return repeated, [f"the update has not ended after {_ANSWERS_S} s"]

    @contextlib.contextmanager
    def _disturbed(self, choice: random.Random) -> Iterator[list[tuple[str, float]]]:
        """Stop and start parts of Heat at random until the block ends; all of it runs afterwards.

        Yields what was stopped, and for how many seconds.
        """
        away: list[tuple[str, float]] = []

        def disturb(over: threading.Event) -> None:
            end = time.monotonic() + self.disturbed_s
            while not over.wait(choice.uniform(*_UP_S)) and time.monotonic() < end:
                part, pause = choice.choice(self.parts), round(choice.uniform(*_DOWN_S), 1)
                self._stop(part)
                over.wait(pause)
                lifecycle.service("start", part, cloud=self.name)
                away.append((part, pause))

        with beside(disturb):
            yield away

    def _stop(self, part: str) -> None:
        lifecycle.service("stop", part, cloud=self.name)


class Engine(Signals):
    """Trials of `soak heat-engine`: the same with a durable Heat, whose engine is killed with -9 too.

    The stack loses the work of the killed engine, and fails or stays in progress; Heat resumes it when the
    update is sent again.
    """

    options = Options(durable=True)
    parts = ("heat-api", backends.ENGINE)
    is_repeated = True
    disturbed_s = _DISTURBED_S

    def _stop(self, part: str) -> None:
        if part == backends.ENGINE:
            lifecycle.namespaces_of(self.name).signal(part, signal.SIGKILL)
        else:
            super()._stop(part)


def _judge(stack: Stack, records: Sequence[Mapping[str, Any]], word: str) -> list[str]:
    problems = []
    if not stack.status.endswith("_COMPLETE"):
        problems.append(f"the stack is {stack.status}: {stack.reason}")
    if len(records) != _DEPLOYMENTS:
        problems.append(f"there are {len(records)} deployments")
    for number, record in enumerate(records):
        expected = {"status": "COMPLETE", "answer": f"{word}-{number}"}
        found = {name: record.get(name) for name in expected}
        if found != expected:
            problems.append(f"the deployment {number} is {found}, must be {expected}")
    return problems
