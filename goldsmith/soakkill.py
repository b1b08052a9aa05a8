# SPDX-License-Identifier: Apache-2.0
"""Builds of the tiny image, killed with -9 at random moments, and what is left of them after a clean-up."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith import locks, proc, progress, reap, wait, workspace
from goldsmith.errors import BuildError
from goldsmith.proc import Arg

SPEC = Path("tests/integration/tiny/tiny.yaml.j2")
NEIGHBOUR_EVERY = 5  # in so many trials one has a live build beside the killed one
_BUILD_DEADLINE_S = 900
_STEP = re.compile(r"^\s*([\w -]+) \.\.\.$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Traces:
    """Of killed builds: their runs' names, their loop devices, and all that survived them, a line each."""

    runs: tuple[str, ...]
    devices: tuple[Path, ...]
    survived: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Folders of their own for the builds of a trial: what is in them is of these builds alone."""

    root: Path

    @property
    def scratch(self) -> Path:
        return self.root / "s"

    @property
    def out(self) -> Path:
        return self.root / "out"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    def environment(self) -> dict[str, str]:
        """Of our processes in this place."""
        return proc.environment(
            {
                "GOLDSMITH_SCRATCH": str(self.scratch),
                "GOLDSMITH_OUT": str(self.out),
                "GOLDSMITH_CACHE": str(self.cache),
            }
        )

    def traces(self) -> Traces:
        """Of the builds that were just killed, as long as nobody has cleaned up after them."""
        folders = sorted(self.scratch.glob("run-*"))
        runs = [folder for folder in folders if not locks.is_held(folder / "lock")]
        return Traces(
            runs=tuple(folder.name for folder in runs),
            devices=tuple(device for folder in runs for device in reap.loop_devices(folder)),
            survived=tuple(line for folder in runs for line in reap.leftovers(folder)),
        )

    def remains(self, traces: Traces | None = None) -> list[str]:
        """What is left of builds, of which none lives any more; a line each. traces: of their ends."""
        runs, devices = (traces.runs, traces.devices) if traces else ((), ())
        found = [f"folder {path}" for path in sorted(self.scratch.glob("*"))]
        for folder in (self.scratch, *(self.scratch / name for name in runs)):
            found += reap.leftovers(folder)
        found += [f"loop device {device} without its file" for device in lost_devices() & set(devices)]
        found += [f"file {path}" for path in sorted(self.cache.glob("*/.new-*"))]
        found += [f"file {path}" for path in self._half_written()]
        found += [f"lock {path}" for path in sorted(self.root.rglob("*lock")) if locks.is_held(path)]
        return list(dict.fromkeys(found))

    def _half_written(self) -> Iterator[Path]:
        for build in sorted(self.out.glob("*/2*")):
            for path in sorted(build.iterdir()):
                is_disk = path.suffix in workspace.DISK_SUFFIXES
                if path.name.startswith(".") or (is_disk and not workspace.is_verified(build)):
                    yield path


class Invocation:
    """A task of ours that runs as a process of its own."""

    def __init__(self, process: proc.Process, log: Path) -> None:
        self.process = process
        self.log = log

    def step(self) -> str:
        """The step that was announced last."""
        steps = _STEP.findall(self.log.read_text(errors="replace"))
        return steps[-1].strip() if steps else "(start)"

    def says(self, text: str, *, timeout_s: float) -> None:
        """Wait until text was said. Raises wait.Died or wait.Deadline."""
        wait.wait_until(
            lambda: text in self.log.read_text(errors="replace"),
            timeout_s=timeout_s, alive=lambda: self.process.poll() is None, interval_s=0.05,
        )  # fmt: skip

    def kill(self, *, whole_group: bool) -> None:
        """kill -9: the Invoke process alone, or its group and those of all that it started."""
        victims = family(self.process.pid) if whole_group else [self.process.pid]
        for pid in victims:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def expect(self, status: int, *, timeout_s: float = _BUILD_DEADLINE_S) -> list[str]:
        """Wait for its end: [], or a line that says how that was not as expected."""
        if not proc.ends_within(self.process, timeout_s):
            return [f"{self.log.name}: did not end within {timeout_s:.0f} s"]
        returned = self.process.returncode
        if returned == status:
            return []
        said = " / ".join(self.log.read_text(errors="replace").splitlines()[-4:])
        return [f"{self.log.name}: exited with {returned}, not {status}: {said}"]


@contextlib.contextmanager
def invoked(
    env: Mapping[str, str], *words: Arg, log: Path, behind: Sequence[Arg] = ()
) -> Iterator[Invocation]:
    """invoke WORDS with these variables, behind other words, as long as the block lasts."""
    argv = (*behind, sys.executable, "-m", "invoke", *words)
    cwd = workspace.project_root()
    log.unlink(missing_ok=True)
    with proc.background(argv, log_path=log, env=env, cwd=cwd) as process:
        yield Invocation(process, log)


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for child, parent in reap.parents().items():
        children.setdefault(parent, []).append(child)
    found = [pid]
    for member in found:
        found += children.get(member, [])
    return found


class Kill:
    """The trials: odd ones kill the Invoke process alone, even ones the whole group."""

    def __init__(self, root: Path) -> None:
        self.place = Place(root=root)
        self.build_s = 0.0

    def prepare(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Fill the cache, then measure how long a build takes that nobody kills."""
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
        """Kill at a uniformly random moment; clean up by `invoke clean` or by the next build."""
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
        """line without what is of this machine alone: reports are committed."""
        names = {
            str(self.place.root): "PLACE", str(workspace.project_root()): "CHECKOUT",
            str(workspace.cache_root()): "CACHE",  # where the environment of a path with a space is
        }  # fmt: skip
        for path, name in names.items():
            line = line.replace(path, name)
        return line

    def finish(self) -> dict[str, Any]:
        """The next build succeeds, and leaves nothing but its folder."""
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
        """A build killed after this fraction of its duration; shorter if it ended before its time."""
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
        """By a build, which is interrupted as soon as it has begun: that leaves nothing either."""
        if not by_build:
            with invoked(self.place.environment(), "clean", log=self.place.root / "clean.log") as clean:
                return clean.expect(0, timeout_s=300)
        with self._building(self.place.root / "next.log") as build:
            try:
                build.says("image ...", timeout_s=_BUILD_DEADLINE_S)
            except (wait.Died, wait.Deadline):
                return [f"the next build did not come to its image stage: {build.expect(0, timeout_s=1)}"]
            build.process.send_signal(signal.SIGTERM)
            return build.expect(130, timeout_s=120)

    def _building(self, log: Path) -> contextlib.AbstractContextManager[Invocation]:
        return invoked(self.place.environment(), "build-image", SPEC, log=log)

    def _build(self, name: str) -> None:
        with progress.step(f"{name} build"), self._building(self.place.root / f"{name}.log") as build:
            problems = build.expect(0)
        if problems:
            raise BuildError(f"the build that nobody killed failed: {problems[0]}", hint=f"see {build.log}")


def lost_devices() -> set[Path]:
    """Loop devices attached to a file that nobody can reach: its file system was unmounted from under it."""
    found = set()
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            if not Path(backing.read_text().strip()).exists():
                found.add(Path("/dev") / backing.parent.parent.name)
    return found
