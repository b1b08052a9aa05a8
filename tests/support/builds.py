# SPDX-License-Identifier: Apache-2.0
"""Run tasks in separate folders, kill them, and find leftovers of builds."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from goldsmith.core import build_folders, locks, paths, proc, reaper, wait
from goldsmith.core.proc import Arg

SPEC = Path("tests/integration/tiny/tiny.yaml.j2")
BUILD_DEADLINE_S = 900
_GONE_S = 60  # of a process that was killed
_STEP = re.compile(r"^\s*([\w -]+) \.\.\.$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Traces:
    """Traces of killed builds: names of their runs, loop devices, and a line for each survivor."""

    runs: tuple[str, ...]
    devices: tuple[Path, ...]
    survived: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Separate scratch, output and cache folders for the builds of a trial."""

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
        """Environment of tasks that use these folders."""
        return proc.environment(
            {
                "GOLDSMITH_SCRATCH": str(self.scratch),
                "GOLDSMITH_OUT": str(self.out),
                "GOLDSMITH_CACHE": str(self.cache),
            }
        )

    def traces(self) -> Traces:
        """Traces of the builds that were just killed, before anything cleans up."""
        folders = sorted(self.scratch.glob("run-*"))
        runs = [folder for folder in folders if not locks.is_held(folder / "lock")]
        return Traces(
            runs=tuple(folder.name for folder in runs),
            devices=tuple(device for folder in runs for device in reaper.loop_devices(folder)),
            survived=tuple(line for folder in runs for line in reaper.leftovers(folder)),
        )

    def wait_for_log(self, text: str, build: Invocation, *, timeout_s: float) -> None:
        """Wait until the log of a running build has text. Raises wait.Died or wait.Deadline."""

        def is_there() -> bool:
            folders = [Path(claim.read_text()) for claim in self.scratch.glob("run-*/build")]
            logs = [folder / "build.log" for folder in folders if (folder / "build.log").exists()]
            return any(text in log.read_text(errors="replace") for log in logs)

        wait.wait_until(is_there, timeout_s=timeout_s, alive=lambda: build.process.poll() is None)

    def remains(self, traces: Traces | None = None) -> list[str]:
        """A line for each leftover of dead builds. traces: from when they were killed."""
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
    """A task that runs in a process."""

    def __init__(self, process: proc.Process, log: Path) -> None:
        self.process = process
        self.log = log

    def step(self) -> str:
        """The last step that the task announced."""
        steps = _STEP.findall(self.log.read_text(errors="replace"))
        return steps[-1].strip() if steps else "(start)"

    def wait_for_text(self, text: str, *, timeout_s: float) -> None:
        """Wait until the task has printed text. Raises wait.Died or wait.Deadline."""
        wait.wait_until(
            lambda: text in self.log.read_text(errors="replace"),
            timeout_s=timeout_s, alive=lambda: self.process.poll() is None, interval_s=0.05,
        )  # fmt: skip

    def kill(self, *, whole_group: bool) -> None:
        """kill -9 the Invoke process, or it and all its descendants; all are gone when this returns."""
        victims = family(self.process.pid) if whole_group else [self.process.pid]
        with contextlib.ExitStack() as handles:
            killed = [handle for pid in victims if (handle := _killed(pid, handles)) is not None]
            for handle in killed:  # a VM takes a while to give its memory back
                assert select.select([handle], [], [], _GONE_S)[0], f"{self.log.name}: does not end"
        self.process.wait()

    def expect(self, status: int, *, timeout_s: float = BUILD_DEADLINE_S) -> list[str]:
        """Wait for the end of the task: [], or a line if it did not exit with status."""
        if not proc.ends_within(self.process, timeout_s):
            return [f"{self.log.name}: did not end within {timeout_s:.0f} s"]
        returned = self.process.returncode
        if returned == status:
            return []
        shown = " / ".join(self.log.read_text(errors="replace").splitlines()[-4:])
        return [f"{self.log.name}: exited with {returned}, not {status}: {shown}"]


@contextlib.contextmanager
def invoked(
    env: Mapping[str, str], *words: Arg, log: Path, behind: Sequence[Arg] = ()
) -> Iterator[Invocation]:
    """Run `invoke WORDS` in an environment while the block lasts. behind: a command to prefix."""
    argv = (*behind, sys.executable, "-m", "invoke", *words)
    cwd = paths.project_root()
    log.unlink(missing_ok=True)
    with proc.background(argv, log_path=log, env=env, cwd=cwd) as process:
        yield Invocation(process, log)


def _killed(pid: int, handles: contextlib.ExitStack) -> int | None:
    """Kill a process: a file descriptor that is readable once it is gone; None if it was, or is not ours."""
    try:
        handle = os.pidfd_open(pid)
        handles.callback(os.close, handle)
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return None
    return handle


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
    """Loop devices whose backing file does not exist any more."""
    found = set()
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            if not Path(backing.read_text().strip()).exists():
                found.add(Path("/dev") / backing.parent.parent.name)
    return found
