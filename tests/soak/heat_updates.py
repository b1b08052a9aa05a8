# SPDX-License-Identifier: Apache-2.0
"""Heat again and again: updates that change images, and signals while its ports come and go."""

from __future__ import annotations

import contextlib
import math
import random
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from goldsmith.core import builds, paths, proc
from goldsmith.devcloud import backends, lifecycle
from goldsmith.devcloud.start import Options
from goldsmith.errors import CloudError
from goldsmith.heat import checks, inputs, report
from goldsmith.heat.client import Stack
from tests.soak.heat_cloud import BOOT_S, FLAVOR, NETWORK, SPEC, InACloud, beside

_UPDATE_S = 180
_ANSWERS_S = (
    600  # how long an update of deployments may take; on a busy host they have been seen to take 180 s
)
_POLLING_S = 2
_DEPLOYMENTS = 4  # in one trial of signals
_IDLE_POLLING_S, _IDLE_S, _IDLE_SHARE = 60, 600, 0.01
_RESTLESS_S, _STUCK_S = 30, 60  # of a trial that kills the engine: how long; when an update is sent again
_DOWN_S, _UP_S = (0.5, 8.0), (1.0, 10.0)  # how long Heat's ports are closed, and open, between two moves


class Updates(InACloud):
    """Trials of `invoke soak heat-update`: two servers, whose image is another one with each update.

    The image is an empty disk: it is Heat that is on trial, not the guests. They have no network, since a
    guest without a system never lets a card go.
    """

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """A cloud, two images and the two servers."""
        self.begin()
        self.place.mkdir(parents=True, exist_ok=True)
        disk = self.place / "empty.qcow2"
        proc.capture(["qemu-img", "create", "-q", "-f", "qcow2", disk, "16M"])
        self.images = [self.cloud.upload(disk, f"empty {number}") for number in (1, 2)]
        self.create("verify/two.yaml", self._parameters(0))
        return {"image": "empty"}

    def one(self, index: int, _choice: random.Random) -> dict[str, Any]:
        """One update, to the image that the servers do not have."""
        start = time.monotonic()
        template = inputs.template("verify/two.yaml")
        try:
            done = self.cloud.update(self.stack, template, self._parameters(index + 1), timeout_s=_UPDATE_S)
            problems = [] if done.status == "UPDATE_COMPLETE" else [f"{done.status}: {done.reason}"]
        except CloudError as e:
            problems = [str(e)]
        return {"seconds": round(time.monotonic() - start, 1), "problems": problems}

    def _parameters(self, index: int) -> dict[str, Any]:
        return {"image": self.images[index % 2], "flavor": "golden.small"}


class Signals(InACloud):
    """Trials of `invoke soak heat-signal`: updates of deployments, while Heat's ports come and go at random.

    A trial is good if each deployment's own record ends COMPLETE with the answer to its word in this trial.
    """

    disturbed: tuple[str, ...] = ("heat-api",)
    is_repeated = False  # an update that failed, or does not end: the same again, as a user would
    restless_s = math.inf  # how long parts of Heat come and go in each trial

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """A cloud, and a server from the latest build of the default spec."""
        build = builds.find_build(paths.out_root(), SPEC)
        disk = next(build.glob("*.qcow2"))
        self.begin()
        self.image = self.cloud.upload(disk, build.name)
        self.create("verify/signals.yaml", self._parameters("first", "HEAT_SIGNAL"))
        return {
            "build": build.name, "polling_interval_s": _POLLING_S, "deployments_each": _DEPLOYMENTS,
        }  # fmt: skip

    def one(self, index: int, choice: random.Random) -> dict[str, Any]:
        """One update, its answers by a transport of choice; every fifth is overtaken by another."""
        word = f"{index}-{choice.getrandbits(32):08x}"
        transport = choice.choice(["HEAT_SIGNAL", "CFN_SIGNAL"])
        overtaken_s = round(choice.uniform(0.5, 6.0), 1) if index % 5 == 4 else None
        start = time.monotonic()
        with self._restless(choice) as away:
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
        """Ask until Heat has taken it: a request that met closed ports may or may not have been heard."""
        template = inputs.template("verify/signals.yaml")
        while True:
            try:
                self.cloud.begin_update(self.stack, template, parameters, timeout_s=BOOT_S)
                return
            except CloudError:
                time.sleep(0.5)

    def _ended(self, word: str, transport: str) -> tuple[int, list[str]]:
        """Wait for the stack, then read the deployments' own records: how often it was repeated, problems."""
        asked, repeated = time.monotonic(), 0
        deadline = asked + _ANSWERS_S
        while time.monotonic() < deadline:
            with contextlib.suppress(CloudError):
                stack = self.cloud.stack(self.stack.id)
                has_failed = stack.status.endswith("_FAILED")
                if stack.status.endswith("_COMPLETE") or (has_failed and not self.is_repeated):
                    records = [self.cloud.deployment(each) for each in stack.outputs["deployments"] or ()]
                    return repeated, _judge(stack, records, word)
                if self.is_repeated and (has_failed or time.monotonic() > asked + _STUCK_S):
                    asked, repeated = time.monotonic(), repeated + 1
                    self._begin_update(self._parameters(word, transport))
            time.sleep(1)
        return repeated, [f"the stack is not at its end after {_ANSWERS_S} s"]

    @contextlib.contextmanager
    def _restless(self, choice: random.Random) -> Iterator[list[tuple[str, float]]]:
        """Take parts of Heat away at random until the block ends, which leaves all of it there.

        Yields what was away, and for how many seconds.
        """
        away: list[tuple[str, float]] = []

        def move(over: threading.Event) -> None:
            calm = time.monotonic() + self.restless_s
            while not over.wait(choice.uniform(*_UP_S)) and time.monotonic() < calm:
                part, pause = choice.choice(self.disturbed), round(choice.uniform(*_DOWN_S), 1)
                self._take_away(part)
                over.wait(pause)
                lifecycle.service("start", part, cloud=self.name)
                away.append((part, pause))

        with beside(move):
            yield away

    def _take_away(self, part: str) -> None:
        lifecycle.service("stop", part, cloud=self.name)


class Engine(Signals):
    """Trials of `invoke soak heat-engine`: the same, and Heat's engine is killed with -9 too.

    Its Heat is durable. What the engine was at when it was killed is lost to the stack, which fails or stays
    in progress: Heat goes on with it when the update is sent again.
    """

    options = Options(durable=True)
    disturbed = ("heat-api", backends.ENGINE)
    is_repeated = True
    restless_s = _RESTLESS_S

    def _take_away(self, part: str) -> None:
        if part == backends.ENGINE:
            lifecycle.rooms(self.name).signal(part, signal.SIGKILL)
        else:
            super()._take_away(part)


class Idle(InACloud):
    """Trials of `invoke soak heat-idle`: what the agent costs a server that has nothing to do."""

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """A cloud, and a server from the latest build of the default spec, with its pods."""
        build = builds.find_build(paths.out_root(), SPEC)
        self.pods = inputs.pods_of(build)
        self.begin()
        self.image = self.cloud.upload(next(build.glob("*.qcow2")), build.name)
        self.create("verify/verify.yaml", self._parameters("created"))
        return {"build": build.name, "polling_interval_s": _IDLE_POLLING_S, "idle_s": _IDLE_S}

    def one(self, index: int, _choice: random.Random) -> dict[str, Any]:
        """Ten minutes between two looks: the agent's share of a core of this host, one deployment in it."""
        before = self._look(f"{index} begin")
        start = time.monotonic()
        time.sleep(_IDLE_S)
        after = self._look(f"{index} end")
        spent = report.cost(before, after)
        share = spent["cpu_host_s"] / (time.monotonic() - start)
        problems = [] if share < _IDLE_SHARE else [f"the agent took {share:.2%} of a core"]
        return {**spent, "share_of_a_core": round(share, 5), "problems": problems}

    def _look(self, reason: str) -> dict[str, Any]:
        template = inputs.template("verify/verify.yaml")
        done = self.cloud.update(self.stack, template, self._parameters(reason), timeout_s=BOOT_S)
        return checks.probe(done)

    def _parameters(self, reason: str) -> dict[str, Any]:
        return {
            "image": self.image, "flavor": FLAVOR, "network": NETWORK, "pods": self.pods,
            "pods_deadline": 300, "polling_interval": _IDLE_POLLING_S, "reason": reason,
        }  # fmt: skip


def _judge(stack: Stack, records: Sequence[Mapping[str, Any]], word: str) -> list[str]:
    problems = []
    if not stack.status.endswith("_COMPLETE"):
        problems.append(f"the stack is {stack.status}: {stack.reason}")
    if len(records) != _DEPLOYMENTS:
        problems.append(f"there are {len(records)} deployments")
    for number, record in enumerate(records):
        wanted = {"status": "COMPLETE", "answer": f"{word}-{number}"}
        found = {name: record.get(name) for name in wanted}
        if found != wanted:
            problems.append(f"the deployment {number} is {found}, must be {wanted}")
    return problems
