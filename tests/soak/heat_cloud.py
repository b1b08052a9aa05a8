# SPDX-License-Identifier: Apache-2.0
"""A test cloud and a stack in it, for trials that are counted in tens."""

from __future__ import annotations

import atexit
import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextvars import copy_context
from pathlib import Path
from typing import Any

from goldsmith.core import progress
from goldsmith.devcloud import instance, lifecycle
from goldsmith.devcloud.start import Options
from goldsmith.errors import CloudError, CommandError, GoldsmithError
from goldsmith.heat import inputs
from goldsmith.heat.client import Cloud, Stack

SPEC = "debian-kubelet"
FLAVOR, NETWORK = "golden", "golden"  # which every test cloud has
BOOT_S = 900
_DELETE_S = 180
_ASK = "import sys, urllib.request as r; r.urlopen(sys.argv[1], timeout=5)"


@contextlib.contextmanager
def beside(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Have work done in a thread until the block ends, which sets the event; what it raises is raised."""
    over = threading.Event()
    failures: list[GoldsmithError] = []

    def run() -> None:
        try:
            work(over)
        except GoldsmithError as e:
            failures.append(e)

    thread = threading.Thread(target=copy_context().run, args=(run,))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failures:
        raise failures[0]


class InACloud:
    """A cloud of its own for the trials of one run, and one stack in it."""

    options = Options()

    def __init__(self, place: Path) -> None:
        self.place = place
        self.name = place.name
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
        atexit.register(self._broken_off)
        running = self._ends.enter_context(lifecycle.owned(self.name, self.options))
        self._cloud = Cloud(self.name, clouds_yaml=running.clouds_yaml)

    def create(self, template: str, parameters: Mapping[str, Any]) -> None:
        """Create the stack. Raises CloudError unless it is complete."""
        made = self.cloud.create("soak", inputs.template(template), parameters, timeout_s=BOOT_S)
        if made.status != "CREATE_COMPLETE":
            self._ends.close()
            raise CloudError(f"the stack of the trials is {made.status}: {made.reason}")
        self._stack = made

    def answers(self, url: str) -> bool:
        """Whether this says 200 to somebody in the cloud's network."""
        try:
            lifecycle.rooms(self.name).ask(["python", "-c", _ASK, url])
        except CommandError:
            return False
        return True

    def finish(self) -> dict[str, Any]:
        """Delete the stack and end the cloud; what is left is a problem."""
        with self._ends:
            shutil.rmtree(self.place, ignore_errors=True)
            self.cloud.delete("soak", timeout_s=_DELETE_S)
            return {"problems": [f"left: {line}" for line in self.cloud.leftovers("soak")]}

    def _broken_off(self) -> None:
        """The process ends: end the cloud, and keep what it said, unless finish() has been there."""
        here = instance.place(self.name)
        with self._ends:
            if here.is_live():
                here.keep(kept := self.place / "log")
                progress.note(f"what the cloud said is kept: {kept}")
