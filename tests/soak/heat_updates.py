# SPDX-License-Identifier: Apache-2.0
"""`soak heat-update`: updates that change the image of servers."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import Any

from goldsmith.core import proc
from goldsmith.errors import CloudError
from goldsmith.heat import inputs
from tests.support.stack_trials import StackTrials

_UPDATE_S = 180


class Updates(StackTrials):
    """Trials of two servers, which get another image with each update.

    The image is an empty disk: Heat is under test, not the guests. They have no network, because a guest
    without a system never releases a network card.
    """

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """Start a cloud, with two images and the two servers."""
        self.begin()
        self.folder.mkdir(parents=True, exist_ok=True)
        disk = self.folder / "empty.qcow2"
        proc.capture(["qemu-img", "create", "-q", "-f", "qcow2", disk, "16M"])
        self.images = [self.cloud.images.upload(disk, f"empty {number}") for number in (1, 2)]
        self.create("verify/two.yaml", self._parameters(0))
        return {"image": "empty"}

    def one(self, index: int, _choice: random.Random) -> dict[str, Any]:
        """One update, to the image that the servers do not have yet."""
        start = time.monotonic()
        template = inputs.template("verify/two.yaml")
        try:
            done = self.cloud.stacks.update(
                self.stack, template, self._parameters(index + 1), timeout_s=_UPDATE_S
            )
            problems = [] if done.status == "UPDATE_COMPLETE" else [f"{done.status}: {done.reason}"]
        except CloudError as e:
            problems = [str(e)]
        return {"seconds": round(time.monotonic() - start, 1), "problems": problems}

    def _parameters(self, index: int) -> dict[str, Any]:
        return {"image": self.images[index % 2], "flavor": "golden.small"}
