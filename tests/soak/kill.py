# SPDX-License-Identifier: Apache-2.0
"""Soak test kill: kill -9 builds of the tiny image at random moments, clean up, and look for leftovers."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldsmith.core import paths, proc, progress, wait
from goldsmith.errors import BuildError
from tests.support import builds
from tests.support.builds import BUILD_DEADLINE_S, SPEC, Invocation, Place

NEIGHBOUR_EVERY = 5  # one of so many trials has a live build beside the killed one


class Kill:
    """The trials. Odd ones kill only the Invoke process, even ones the whole process group."""

    def __init__(self, root: Path) -> None:
        self.place = Place(root=root)
        self.build_s = 0.0

    def prepare(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Fill the cache, then measure the duration of an undisturbed build."""
        for folder in (self.place.scratch, self.place.out, self.place.cache):
            folder.mkdir(parents=True, exist_ok=True)
        self.build_s = float(facts.get("build_s", 0))
        if not self.build_s:
            self._build("cold")
            start = time.monotonic()
            self._build("warm")
            self.build_s = round(time.monotonic() - start, 1)
        return {"build_s": self.build_s, "image": str(SPEC)}

    def one(self, index: int, choice: random.Random) -> dict[str, Any]:
        """Kill a build at a uniformly random moment; clean up by `invoke clean` or by the next build."""
        whole_group = index % 2 == 1
        by_build = index // 2 % 2 == 1
        answer: dict[str, Any] = {
            "killed": "group" if whole_group else "process",
            "cleaned_by": "build" if by_build else "clean",
            "neighbour": index % NEIGHBOUR_EVERY == NEIGHBOUR_EVERY - 1,
        }
        problems: list[str] = []
        with contextlib.ExitStack() as stack:
            neighbour: Invocation | None = None
            if answer["neighbour"]:
                log = self.place.root / "neighbour.log"
                neighbour = stack.enter_context(self._building(log))
            self._killed(stack, choice.random(), answer, whole_group=whole_group)
            traces = self.place.traces()
            answer["survived"] = [self._without_paths(line) for line in traces.survived]
            problems += self._clean(by_build=by_build)
            if neighbour is not None:
                problems += neighbour.expect(0)
            problems += self.place.remains(traces)
        answer["problems"] = problems
        return answer

    def _without_paths(self, line: str) -> str:
        """Replace paths of this machine in a line: reports are committed."""
        names = {
            str(self.place.root): "PLACE", str(paths.project_root()): "CHECKOUT",
            str(paths.cache_root()): "CACHE",  # has the environment if the checkout's path has a space
        }  # fmt: skip
        for path, name in names.items():
            line = line.replace(path, name)
        return line

    def finish(self) -> dict[str, Any]:
        """Check that the next build succeeds and leaves only its folder."""
        log = self.place.root / "last.log"
        with self._building(log) as build:
            problems = build.expect(0)
        problems += self.place.remains()
        if not problems:
            shutil.rmtree(self.place.root)
        return {"problems": problems}

    def _killed(
        self, stack: contextlib.ExitStack, fraction: float, answer: dict[str, Any], *, whole_group: bool
    ) -> None:
        """Kill a build after a fraction of the measured duration, lowered if the build ends earlier."""
        while True:
            victim = stack.enter_context(self._building(self.place.root / "victim.log"))
            start = time.monotonic()
            if not proc.ends_within(victim.process, fraction * self.build_s):
                answer["step"] = victim.step()
                answer["after_s"] = round(time.monotonic() - start, 2)
                victim.kill(whole_group=whole_group)
                progress.note(f"killed {answer['killed']} in {answer['step']} after {answer['after_s']} s")
                return
            self.build_s = min(self.build_s, time.monotonic() - start)

    def _clean(self, *, by_build: bool) -> list[str]:
        """Clean up. A build that does it is interrupted at its image stage, and must leave nothing either."""
        if not by_build:
            with builds.invoked(
                self.place.environment(), "clean", log=self.place.root / "clean.log"
            ) as clean:
                return clean.expect(0, timeout_s=300)
        with self._building(self.place.root / "next.log") as build:
            try:
                build.wait_for_text("image ...", timeout_s=BUILD_DEADLINE_S)
            except (wait.Died, wait.Deadline):
                return [f"the next build did not reach its image stage: {build.expect(0, timeout_s=1)}"]
            build.process.send_signal(signal.SIGTERM)
            return build.expect(130, timeout_s=120)

    def _building(self, log: Path) -> contextlib.AbstractContextManager[Invocation]:
        return builds.invoked(self.place.environment(), "build-image", SPEC, "--force", log=log)

    def _build(self, name: str) -> None:
        with progress.step(f"{name} build"), self._building(self.place.root / f"{name}.log") as build:
            problems = build.expect(0)
        if problems:
            raise BuildError(f"the undisturbed build failed: {problems[0]}", hint=f"see {build.log}")
