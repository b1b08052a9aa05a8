# SPDX-License-Identifier: Apache-2.0
"""Create the images, the stack and the servers of one acceptance test, and remove all of them."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.errors import CloudError
from goldsmith.heat import checks, inputs
from goldsmith.heat.client import Cloud
from goldsmith.heat.stacks import Stack


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadedImage:
    """An image in the cloud; templates get its name."""

    id: str
    name: str


class Launcher:
    """Creates, remembers and removes. Its methods raise CloudError."""

    def __init__(self, cloud: Cloud, name: str, *, timeout_s: float) -> None:
        """name: of the spec; timeout_s: for one change of the stack."""
        self.cloud, self.timeout_s = cloud, timeout_s
        self.mark = secrets.token_hex(3)  # short: Heat shortens the names of a stack's servers
        self.stack_name = f"verify-{name}-{self.mark}"
        self._stack: Stack | None = None  # as it was seen last
        self._servers: set[str] = set()

    def upload(self, disk: Path, release: str, which: str) -> UploadedImage:
        """Upload a disk image under a name that no other release has."""
        name = f"{release} {self.mark} {which}"
        return UploadedImage(id=self.cloud.images.upload(disk, name), name=name)

    def create(self, template: str, parameters: Mapping[str, Any]) -> Stack:
        """Create the stack from one of the project's templates and wait until that has ended."""
        path = inputs.template(template)
        made = self.cloud.stacks.create(self.stack_name, path, parameters, timeout_s=self.timeout_s)
        return self._remember(made)

    def update(self, template: str, parameters: Mapping[str, Any]) -> Stack:
        """Update the stack and wait until that has ended."""
        assert self._stack is not None
        path = inputs.template(template)
        done = self.cloud.stacks.update(self._stack, path, parameters, timeout_s=self.timeout_s)
        return self._remember(done)

    def delete_stack(self) -> None:
        """Delete the stack and wait until it is gone."""
        self.cloud.stacks.delete(self.stack_name, timeout_s=self.timeout_s)

    def console(self) -> str:
        """The end of the console of the stack's server; empty if there is none."""
        with contextlib.suppress(CloudError):
            stack = self._stack or self.cloud.stacks.get(self.stack_name)
            if server := stack.outputs.get("server"):
                return self.cloud.servers.console(server)
        return ""

    def remove(self) -> None:
        """Delete stack and images, also partial uploads. Raises VerificationError if anything is left."""
        if self._stack is not None or self.cloud.leftovers(self.mark):
            self.delete_stack()
        for image in self.cloud.images.named(self.mark):
            self.cloud.images.delete(image)
        left = self.cloud.leftovers(self.mark, servers=self._servers)
        checks.require(not left, f"left in the cloud: {', '.join(left)}")

    def _remember(self, stack: Stack) -> Stack:
        self._stack = stack
        if server := stack.outputs.get("server"):
            self._servers.add(server)
        return stack
