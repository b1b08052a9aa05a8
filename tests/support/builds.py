# SPDX-License-Identifier: Apache-2.0
"""Builds of the tiny image, killed with -9 at random moments, and what is left of them after a clean-up."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from goldsmith.core import build_folders, locks, paths, proc, reaper, wait
from goldsmith.core.proc import Arg

SPEC = Path("tests/integration/tiny/tiny.yaml.j2")
BUILD_DEADLINE_S = 900
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
            devices=tuple(device for folder in runs for device in reaper.loop_devices(folder)),
            survived=tuple(line for folder in runs for line in reaper.leftovers(folder)),
        )

    def remains(self, traces: Traces | None = None) -> list[str]:
        """What is left of builds, of which none lives any more; a line each. traces: of their ends."""
        runs, devices = (traces.runs, traces.devices) if traces else ((), ())
        found = [f"folder {path}" for path in sorted(self.scratch.glob("*"))]
        for folder in (self.scratch, *(self.scratch / name for name in runs)):
            found += reaper.leftovers(folder)
        found += [f"loop device {device} without its file" for device in lost_devices() & set(devices)]
        found += [f"file {path}" for path in sorted(self.cache.glob("*/.new-*"))]
        found += [f"file {path}" for path in self._half_written()]
        found += [f"lock {path}" for path in sorted(self.root.rglob("*lock")) if locks.is_held(path)]
        return list(dict.fromkeys(found))

    def _half_written(self) -> Iterator[Path]:
        for build in sorted(self.out.glob("*/2*")):
            for path in sorted(build.iterdir()):
                is_disk = path.suffix in build_folders.DISK_SUFFIXES
                if path.name.startswith(".") or (is_disk and not build_folders.is_verified(build)):
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

    def expect(self, status: int, *, timeout_s: float = BUILD_DEADLINE_S) -> list[str]:
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
    cwd = paths.project_root()
    log.unlink(missing_ok=True)
    with proc.background(argv, log_path=log, env=env, cwd=cwd) as process:
        yield Invocation(process, log)


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for child, parent in reaper.parents().items():
        children.setdefault(parent, []).append(child)
    found = [pid]
    for member in found:
        found += children.get(member, [])
    return found


def lost_devices() -> set[Path]:
    """Loop devices attached to a file that nobody can reach: its file system was unmounted from under it."""
    found = set()
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            if not Path(backing.read_text().strip()).exists():
                found.add(Path("/dev") / backing.parent.parent.name)
    return found
