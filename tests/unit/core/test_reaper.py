# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goldsmith.core import proc, reaper

Start = Callable[..., "subprocess.Popen[bytes]"]

pytestmark = pytest.mark.programs("env", "sleep", "sh", "tail")

STEM = f"run-{os.getpid()}a1b"  # of this process alone: the tests of others run beside it


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = tmp_path / f"{STEM}2"
    run.mkdir()
    return run


@pytest.fixture
def start() -> Iterator[Start]:
    """start(ARGV): a process in its own session, killed with its children at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def popen(*argv: str, cwd: Path | None = None, **env: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(argv, cwd=cwd, env={**os.environ, **env}, start_new_session=True)
        started.append(process)
        while not Path(f"/proc/{process.pid}/environ").read_bytes():  # the kernel has just begun it
            time.sleep(0.005)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while argv[0] == "sh" and not children.read_text():  # all its script says is done then
            time.sleep(0.005)
        return process

    yield popen
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_process_is_found_by_the_marker_in_its_environment(folder: Path, start: Start) -> None:
    process = start("sleep", "60", **{proc.RUN_MARKER: str(folder)})

    assert reaper.processes(folder) == [process.pid]


def test_children_of_a_found_process_are_found(folder: Path, start: Start) -> None:
    process = start("sh", "-c", f"env -u {proc.RUN_MARKER} sleep 60; :", **{proc.RUN_MARKER: str(folder)})

    found = reaper.processes(folder)

    assert len(found) == 2
    assert process.pid in found


def test_who_looks_at_our_files_is_a_bystander(folder: Path, start: Start) -> None:
    log = folder / "build.log"
    log.write_text("line\n")
    standing = start("sleep", "60", cwd=folder)
    reading = start("tail", "-f", str(log))
    named = start("sh", "-c", "sleep 60; :", str(folder / "disk"))

    assert reaper.leftovers(folder) == []
    assert reaper.reap(folder) == []
    assert [each.poll() for each in (standing, reading, named)] == [None, None, None]


def test_bystanders_are_named(folder: Path, start: Start) -> None:
    standing = start("sleep", "60", cwd=folder)
    start("sleep", "60", **{proc.RUN_MARKER: str(folder)})

    (line,) = reaper.busy(folder)

    assert line.startswith(f"busy: process {standing.pid} (sleep 60) uses {folder} and is not ours")


def test_a_marker_in_another_variable_is_none(folder: Path, start: Start) -> None:
    start("sleep", "60", OTHER=f"{proc.RUN_MARKER}={folder}")

    assert reaper.processes(folder) == []


def test_a_folder_behind_a_link_is_the_same(folder: Path, start: Start, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    process = start("sleep", "60", **{proc.RUN_MARKER: str(folder)})

    assert reaper.processes(tmp_path / "link") == [process.pid]


@pytest.mark.parametrize("ending", ["", "2c", "2-x", "2.x"])
def test_run_whose_name_has_the_same_beginning_is_another(folder: Path, start: Start, ending: str) -> None:
    other = STEM + ending
    start("sleep", "60", **{proc.RUN_MARKER: str(folder.with_name(other))})
    start("sh", "-c", "sleep 60; :", str(folder.with_name(other)))

    assert reaper.processes(folder) == []


def test_a_folder_of_the_same_name_elsewhere_is_another(folder: Path, start: Start, tmp_path: Path) -> None:
    start("sleep", "60", **{proc.RUN_MARKER: str(tmp_path / "elsewhere" / folder.name)})

    assert reaper.processes(folder) == []


def test_we_ourselves_are_never_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)

    assert reaper.processes(folder) == []


def test_reaping_kills_processes_that_ignore_signals(folder: Path, start: Start) -> None:
    process = start("sh", "-c", "trap '' TERM INT; sleep 60; :", **{proc.RUN_MARKER: str(folder)})

    done = reaper.reap(folder)

    assert process.wait(5) == -signal.SIGKILL
    assert f"ended process {process.pid}: " in done[0]
    assert reaper.leftovers(folder) == []


def test_an_ordinary_user_needs_no_sudo_for_own_processes(
    folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch, fake: Callable[..., Path]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    calls = fake("sudo", "exit 1")
    process = start("sleep", "60", **{proc.RUN_MARKER: str(folder)})

    assert reaper.reap(folder) == [f"ended process {process.pid}: sleep 60"]

    assert process.wait(5) == -signal.SIGKILL
    assert calls.read_text() == ""


def test_sudo_kills_what_an_ordinary_user_may_not(
    folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch, fake: Callable[..., Path]
) -> None:
    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    process = start("sleep", "60", **{proc.RUN_MARKER: str(folder)})
    fake("sudo", f"kill -9 {process.pid}; echo ended")
    with monkeypatch.context() as ours:
        ours.setattr(os, "geteuid", lambda: 1000)
        ours.setattr(os, "kill", refuse)

        assert reaper.reap(folder) == ["ended"]

    assert process.wait(5) == -signal.SIGKILL


def test_leftovers_are_named(folder: Path, start: Start) -> None:
    process = start("sleep", "60", **{proc.RUN_MARKER: str(folder)})

    assert reaper.leftovers(folder) == [f"process {process.pid} (sleep 60)"]


def test_an_empty_folder_has_no_leftovers(folder: Path) -> None:
    assert reaper.leftovers(folder) == []


@pytest.mark.parametrize(
    ("point", "is_below"),
    [("/run-a1b2", True), ("/run-a1b2/mnt", True), ("/run-a1b2c", False), ("/", False)],
)
def test_mounts_are_those_below_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str, is_below: bool
) -> None:
    mountinfo = f"22 1 8:1 / /s{point} rw - ext4 /dev/loop0 rw\n"
    read_text = Path.read_text
    monkeypatch.setattr(
        Path,
        "read_text",
        lambda self, **how: mountinfo if "mountinfo" in str(self) else read_text(self, **how),
    )

    assert bool(reaper.mounts(Path("/s/run-a1b2"))) is is_below


def test_mounts_come_latest_first_and_with_their_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    mountinfo = r"""22 1 8:1 / /s/run rw - ext4 /dev/loop0 rw
23 1 8:1 / /s/run/a\040b rw - ext4 /dev/loop1 rw
"""
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: mountinfo)

    assert reaper.mounts(Path("/s/run")) == [Path("/s/run/a b"), Path("/s/run")]


def test_every_process_has_a_parent_that_is_known() -> None:
    family = reaper.parents()

    assert family[os.getpid()] == os.getppid()


def test_a_file_in_somebody_elses_private_folder_is_not_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    assert reaper._is_gone(tmp_path / "nothing")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "exists", refuse)
        assert not reaper._is_gone(tmp_path / "private" / "disk")
