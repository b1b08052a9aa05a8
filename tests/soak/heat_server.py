# SPDX-License-Identifier: Apache-2.0
"""The server of heat-failures: its stack, updated and watched by the cases."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from goldsmith.core import wait
from goldsmith.devcloud import lifecycle
from goldsmith.errors import CloudError, VerificationError
from goldsmith.heat import inputs, outputs
from goldsmith.heat.checks import require, require_complete, require_failed
from goldsmith.heat.client import Cloud
from goldsmith.heat.stacks import Stack
from tests.soak import guest_scripts
from tests.support.stack_trials import BOOT_S, FLAVOR, NETWORK, answers

TEMPLATE = "verify/failures.yaml"
POLLING_S = 2
_SITE = "http://{}:8080/healthz"  # of the first of the spec's pods, which uses the server's own network
_BECOMES_S = 240


@dataclass(kw_only=True, slots=True)
class Parameters:
    """Parameters of the template. Each update gets another reason, so that its script runs."""

    image: str
    pods: list[dict[str, Any]]
    script: str
    count: int = 0

    def next(self, **changed: object) -> dict[str, Any]:
        """Those of the next update."""
        self.count += 1
        return {
            "image": self.image, "flavor": FLAVOR, "network": NETWORK, "pods": copy.deepcopy(self.pods),
            "script": self.script, "reason": str(self.count), "polling_interval": POLLING_S, **changed,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """A server under test; stack: as it was created."""

    cloud: Cloud
    stack: Stack
    parameters: Parameters

    @property
    def pods(self) -> list[dict[str, Any]]:
        """The spec's pods, which run whenever no case is at work."""
        return self.parameters.pods

    @property
    def id(self) -> str:
        return outputs.of(self.stack).server

    def begin(self, **changed: object) -> None:
        """Request an update with other parameters."""
        self.cloud.stacks.begin_update(
            self.stack, inputs.template(TEMPLATE), self.parameters.next(**changed), timeout_s=BOOT_S
        )

    def update(self, **changed: object) -> Stack:
        """The same, and wait until it has ended."""
        self.begin(**changed)
        return self.settled()

    def update_with(self, *more: dict[str, Any], **changed: object) -> Stack:
        """An update with more pods than the spec's."""
        return self.update(pods=[*self.pods, *more], **changed)

    def settled(self) -> Stack:
        """The stack when the update in progress has ended."""
        return self.cloud.stacks.settled(self.stack.id, "UPDATE", timeout_s=BOOT_S)

    def status(self) -> Stack:
        """The stack as it is now, without outputs."""
        return self.cloud.stacks.get(self.stack.id, with_outputs=False)

    def require_answer(self, result: str = "") -> None:
        """The update in progress completes with this answer of its script; default: its reason."""
        stack = self.settled()
        require_complete(stack, "UPDATE")
        answer, expected = str(stack.outputs["probe"]).strip(), result or str(self.parameters.count)
        require(answer == expected, f"the script's answer is {answer!r}, must be {expected!r}")

    def require_fails_with_log(self, pod: dict[str, Any], reason: str) -> None:
        """An update with this pod fails with the reason and the container's last log line."""
        stack = self.update_with(pod)
        require_failed(stack, reason)
        require_failed(stack, guest_scripts.LAST_WORDS)

    def wait_until_begun(self) -> None:
        """Wait until the script of the last update reports on the console that it runs."""
        line = f"begun {self.parameters.count}"
        self.wait_for(lambda: line in self.cloud.servers.console(self.id), line)

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until a condition holds; while Heat is down, it does not. Raises VerificationError."""

        def holds() -> bool:
            with contextlib.suppress(CloudError):
                return condition()
            return False

        try:
            wait.wait_until(holds, timeout_s=_BECOMES_S, interval_s=2)
        except wait.Deadline:
            raise VerificationError(f"no {what} after {_BECOMES_S} s") from None

    def site_answers(self) -> bool:
        """The site of the spec's first pod answers."""
        (address,) = next(iter(outputs.of(self.stack).addresses.values()))
        return answers(self.cloud.name, _SITE.format(address))

    @contextlib.contextmanager
    def heat_ports_closed(self, seconds: float) -> Iterator[None]:
        """Heat's ports are closed for so long, and until the end of the block."""
        lifecycle.service("stop", "heat-api", cloud=self.cloud.name)
        try:
            time.sleep(seconds)
            yield
        finally:
            lifecycle.service("start", "heat-api", cloud=self.cloud.name)
