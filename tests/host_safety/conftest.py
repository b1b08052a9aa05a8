# SPDX-License-Identifier: Apache-2.0
"""Tests that would harm this host if the code were wrong: tests/integration runs them in a room."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goldsmith.core import ownership
from tests.support import safe_room

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture(autouse=True)
def in_a_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test runs where the real folders are in reach."""
    safe_room.require()
    monkeypatch.setenv("GOLDSMITH_CACHE", "/var/tmp/cache")


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty folder of ours on a disk's path, short enough for a scratch folder."""
    folder = Path("/var/tmp/place")
    folder.mkdir(mode=0o755)
    yield folder
    while _unmounted(folder):
        pass
    shutil.rmtree(folder)


def _unmounted(folder: Path) -> bool:
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    below = [point for point in points if point.startswith(f"{folder}/")]
    return bool(below) and subprocess.run(["umount", below[-1]], check=False).returncode == 0


@pytest.fixture
def guard(place: Path) -> Path:
    """A tree that nobody may touch."""
    folder = place / "guard"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/file").write_text("precious")
    return folder


@pytest.fixture
def start() -> Iterator[Start]:
    """start(ARGV, **options of Popen): a process that ends with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def popen(*argv: str, marker: Path | None = None, **options: object) -> subprocess.Popen[bytes]:
        env = {**os.environ, **({"GOLDSMITH_RUN": str(marker)} if marker else {})}
        process = subprocess.Popen(argv, env=env, start_new_session=True, **options)  # type: ignore[call-overload]
        started.append(process)
        return process  # type: ignore[no-any-return]

    yield popen
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def dead_run() -> Callable[[Path], Path]:
    """dead_run(SCRATCH): the folder of a run that was killed, in a new scratch folder."""

    def make(scratch: Path) -> Path:
        folder = scratch / "run-dead1234"
        scratch.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700)
        ownership.mark(folder, "run")
        (folder / "lock").touch()
        return folder

    return make
