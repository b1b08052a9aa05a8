# SPDX-License-Identifier: Apache-2.0
"""Base of the soak tests that need a test cloud and a stack in it."""

from __future__ import annotations

import atexit
import contextlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldsmith.core import progress
from goldsmith.devcloud import instance, lifecycle
from goldsmith.devcloud.start import Options
from goldsmith.errors import CloudError, CommandError
from goldsmith.heat import client, inputs
from goldsmith.heat.client import Cloud
from goldsmith.heat.stacks import Stack

SPEC = "debian-kubelet"
FLAVOR, NETWORK = "golden", "golden"  # which every test cloud has
BOOT_S = 900
_STACK = "soak"
_DELETE_S = 180
_GET = "import sys, urllib.request as r; r.urlopen(sys.argv[1], timeout=5)"


class StackTrials:
    """Starts a private cloud and one stack for the trials of one run, and ends both."""

    options = Options()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name
        self._ends = contextlib.ExitStack()
        self._cloud: Cloud | None = None
        self._stack: Stack | None = None

    @property
    def cloud(self) -> Cloud:
        assert self._cloud is not None
        return self._cloud

    @property
    def stack(self) -> Stack:
        assert self._stack is not None
        return self._stack

    def begin(self) -> None:
        """Start the cloud; it ends with finish(), or with this process."""
        atexit.register(self._interrupted)
        running = self._ends.enter_context(lifecycle.owned(self.name, self.options))
        self._cloud = client.connect(self.name, clouds_yaml=running.clouds_yaml)

    def create(self, template: str, parameters: Mapping[str, Any]) -> None:
        """Create the stack. Raises CloudError unless it is complete."""
        made = self.cloud.stacks.create(_STACK, inputs.template(template), parameters, timeout_s=BOOT_S)
        if made.status != "CREATE_COMPLETE":
            self._ends.close()
            raise CloudError(f"the stack of the trials is {made.status}: {made.reason}")
        self._stack = made

    def answers(self, url: str) -> bool:
        """Whether a GET of this URL succeeds inside the cloud's network."""
        return answers(self.name, url)

    def finish(self) -> dict[str, Any]:
        """Delete the stack and end the cloud; leftovers are a problem."""
        with self._ends:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.cloud.stacks.delete(_STACK, timeout_s=_DELETE_S)
            return {"problems": [f"left: {line}" for line in self.cloud.leftovers(_STACK)]}

    def _interrupted(self) -> None:
        """At the end of the process: end the cloud and keep its logs, unless finish() has ended it."""
        cloud = instance.named(self.name)
        with self._ends:
            if cloud.is_live():
                cloud.keep(kept := self.folder / "log")
                progress.note(f"the logs of the cloud are kept in {kept}")


def answers(cloud: str, url: str) -> bool:
    """Whether a GET of this URL succeeds inside the network of a test cloud."""
    try:
        lifecycle.namespaces_of(cloud).ask(["python", "-c", _GET, url])
    except CommandError:
        return False
    return True
