# SPDX-License-Identifier: Apache-2.0
"""The program as a user starts it: in this process, and at a terminal of 60 columns."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import invoke.main
import pytest

import goldsmith
from goldsmith.cli import program
from goldsmith.cli.words.invoke_program import Program
from goldsmith.core import build_folders
from goldsmith.core.paths import project_root
from tests.support import published, samples

Run = Callable[..., tuple[int, str, str]]
ID = "20261101T010203Z-0a1b2c3"


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> Iterator[Run]:
    """Run the program, which ends where a task would start; exit code, standard output, error."""
    before = signal.getsignal(signal.SIGTERM)

    def started(self: Program) -> None:
        assert self.tasks
        sys.exit(99)

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["/venv/bin/goldsmith", *words])
        with pytest.raises(SystemExit) as e:
            program.main()
        return int(e.value.code or 0), *capsys.readouterr()

    monkeypatch.setattr(Program, "execute", started)
    yield call
    signal.signal(signal.SIGTERM, before)


def test_a_task_starts_and_help_does_not(run: Run) -> None:
    assert run("build-image", "mine")[0] == 99
    for words in (("build-image", "mine", "--help"), ("build-image", "--out", "-h"), ("help", "build-image")):
        code, out, err = run(*words)

        assert (code, err) == (0, "")
        assert out.startswith("Usage: goldsmith build-image [NAME] [OPTION...]\n")


def test_the_program_lists_its_tasks_and_tells_its_version(run: Run) -> None:
    assert run("--version") == (0, f"goldsmith {goldsmith.__version__}\n", "")
    assert run("--help") == run("--list") == run()
    assert run()[1].startswith("Usage: goldsmith TASK [WORD...] [OPTION...]\n\nBuild\n  boot ")


@pytest.mark.parametrize("words", [("plan", "--jsn"), ("plna",), ("plan", "a", "b"), ("sign", "--key")])
def test_a_mistake_ends_with_2_and_is_json_where_that_is_asked_for(run: Run, words: tuple[str, ...]) -> None:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")

    code, out, again = run(*words, "--json")
    answer = json.loads(out)
    published.check(answer)
    assert (code, answer["code"], again) == (2, 2, err)
    assert err == f"error: {answer['message']}\nhint: {answer['hint']}\n"


def test_completion_is_answered_before_anything_else(run: Run) -> None:
    assert run("--complete", "cloud-e") == (
        0, "cloud-env\tPrint the variables that OpenStack's clients need for a test cloud\n", "",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("plan", "mine"), None),
        (("-e", "plan", "mine"), None),
        (("plan", "--help"), "Usage: invoke plan ["),
        (("--help", "plan"), "Usage: invoke plan ["),
        (("plan", "mine", "-h"), "Usage: invoke plan ["),
        (("--list",), "Usage: invoke TASK ["),
        ((), "Usage: invoke TASK ["),
    ],
)
def test_plain_invoke_reads_words_as_we_do(
    run: Run,
    words: tuple[str, ...],
    shown: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(project_root())

    with pytest.raises(SystemExit) as e:
        invoke.main.program.run(["invoke", *words])

    out, err = capsys.readouterr()
    assert int(e.value.code or 0) == (0 if shown else 99), err
    assert out.startswith(shown or "")


def test_plain_invoke_promises_no_dry_run(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project_root())

    with pytest.raises(SystemExit) as e:
        invoke.main.program.run(["invoke", "--dry", "build-image"])

    assert e.value.code == 2
    assert "--dry does not keep a task from running" in capsys.readouterr().err


def at_a_terminal(columns: int, out: Path, *words: str) -> str:
    """What a terminal of this width shows: no line of it is wider, and nothing has a colour."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {**os.environ, "TERM": "xterm-256color", "GOLDSMITH_OUT": str(out), "NO_COLOR": "1"}
    env.pop("COLUMNS", None)
    argv = [sys.executable, "-B", "-m", "goldsmith.cli.program", *words]
    with subprocess.Popen(
        argv, cwd=project_root(), env=env, stdin=theirs, stdout=theirs, stderr=theirs
    ) as done:
        os.close(theirs)
        shown = bytearray()
        while piece := _read(ours):
            shown += piece
    os.close(ours)
    text = shown.decode().replace("\r\n", "\n")
    assert done.returncode == 0, text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= columns, text
    return text


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # nobody has the other end open any more
        return b""


def test_help_and_lists_fit_a_window_of_60_columns(tmp_path: Path) -> None:
    build_folders.move_latest(samples.build(tmp_path / "mine" / ID))

    assert "build-image" in at_a_terminal(60, tmp_path)
    assert "Exit codes" in at_a_terminal(60, tmp_path, "build-image", "mine", "--help")
    assert ID in at_a_terminal(60, tmp_path, "builds")
