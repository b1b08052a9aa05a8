# SPDX-License-Identifier: Apache-2.0
"""`soak heat-group`: servers of a group get another golden image while a client polls their site."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from goldsmith.core import build_folders, paths
from goldsmith.errors import CloudError
from goldsmith.heat import inputs, procedure
from tests.support.background import beside
from tests.support.stack_trials import BOOT_S, FLAVOR, NETWORK, SPEC, StackTrials

_SERVERS, _POLLING_S = 2, 10  # a poll takes a second of a core from a guest without KVM
_EVERY_S = 2.0  # between two looks at the site
_ROLL_S = 3600
_PROCEDURE = "procedures/new-image.yaml.j2"


class Group(StackTrials):
    """Trials of heat-group.yaml: from one golden image to another, and back.

    The first trial updates the stack, the second applies the shipped procedure, and so on. A trial is good
    if every server has the new image, and the site answered every time: that of the spec's first pod, which
    uses the servers' own network.
    """

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """Start a cloud with the latest build as two images, and the servers."""
        build = build_folders.find_build(paths.out_root(), SPEC)
        disk = next(build.glob("*.qcow2"))
        self.pods = inputs.pods_of(build)
        self.begin()
        self.images = [self.cloud.images.upload(disk, f"{build.name} {number}") for number in (1, 2)]
        self.create("heat-group.yaml", self._parameters(self.images[0]))
        return {"build": build.name, "servers": _SERVERS, "looks_every_s": _EVERY_S}

    def one(self, index: int, _choice: random.Random) -> dict[str, Any]:
        """Give the servers the image that they do not have."""
        self.images.reverse()
        image = self.images[0]
        before = {server.id for server in self.cloud.servers.all()}
        roll = self._apply_procedure if index % 2 else self._update
        problems = []
        start = time.monotonic()
        with self._watched() as looks:
            try:
                roll(image)
            except CloudError as e:
                problems.append(str(e))
        seconds = round(time.monotonic() - start, 1)
        problems += self._wrong_servers(image, before)
        if down := looks.count(0):
            problems.append(f"the site did not answer at {down} of {len(looks)} looks")
        return {
            "by": "procedure" if index % 2 else "update", "seconds": seconds, "looks": len(looks),
            "fewest_in_service": min(looks, default=0), "problems": problems,
        }  # fmt: skip

    def _update(self, image: str) -> None:
        template = inputs.template("heat-group.yaml")
        done = self.cloud.stacks.update(self.stack, template, self._parameters(image), timeout_s=_ROLL_S)
        if done.status != "UPDATE_COMPLETE":
            raise CloudError(f"{done.status}: {done.reason}")

    def _apply_procedure(self, image: str) -> None:
        steps = procedure.load(inputs.template(_PROCEDURE), {"image": image, "count": str(_SERVERS)})
        procedure.apply(self.cloud, self.stack.id, steps, deadline_s=_ROLL_S)

    def _wrong_servers(self, image: str, before: set[str]) -> list[str]:
        now = self.cloud.servers.all()
        problems = [f"the server {server.id} has the old image" for server in now if server.image != image]
        problems += [f"the server {server.id} was not replaced" for server in now if server.id in before]
        return problems + ([] if len(now) == _SERVERS else [f"there are {len(now)} servers"])

    @contextlib.contextmanager
    def _watched(self) -> Iterator[list[int]]:
        """A list that grows until the block ends: how many servers' sites answered at each look."""
        looks: list[int] = []

        def look(over: threading.Event) -> None:
            while not over.wait(_EVERY_S):
                addresses = [address for server in self.cloud.servers.all() for address in server.addresses]
                looks.append(sum(self.answers(f"http://{each}:8080/healthz") for each in addresses))

        with beside(look):
            yield looks

    def _parameters(self, image: str) -> dict[str, Any]:
        return {
            "image": image, "pods": self.pods, "count": _SERVERS, "flavor": FLAVOR, "network": NETWORK,
            "polling_interval": _POLLING_S, "pods_deadline": BOOT_S,
        }  # fmt: skip
