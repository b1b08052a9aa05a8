# SPDX-License-Identifier: Apache-2.0
"""Real shells complete the words of goldsmith at a Tab."""

from __future__ import annotations

import os
import re
import select
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith.core.paths import project_root

pytestmark = pytest.mark.integration

_SHELLS = {
    "bash": (("bash", "--norc", "-i"), "source <(goldsmith completion bash)"),
    "zsh": (
        ("zsh", "-f", "-i"),
        "autoload -Uz compinit && compinit -D -u && source <(goldsmith completion zsh)",
    ),
    "fish": (("fish", "--no-config", "-i"), "goldsmith completion fish | source"),
}
_PROGRAM = "import sys; sys.argv[0] = 'goldsmith'; from goldsmith.cli.program import main; main()"
_DEADLINE_S = 60


class Terminal:
    """A shell that somebody types into."""

    def __init__(self, argv: tuple[str, ...], folder: Path) -> None:
        self._ours, theirs = os.openpty()
        env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "TERM": "xterm", "HOME": str(folder)}
        self._shell = subprocess.Popen(
            ["setsid", "--ctty", *argv], env=env, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)

    def shows(self, typed: str, expected: str) -> str:
        """What the terminal shows from then on, up to a match of expected."""
        os.write(self._ours, typed.encode())
        shown, end = "", time.monotonic() + _DEADLINE_S
        while not re.search(expected, shown):
            left = end - time.monotonic()
            assert left > 0, f"{expected!r} is not in {shown!r}"
            if select.select([self._ours], [], [], left)[0]:
                shown += os.read(self._ours, 4096).decode(errors="replace")
        return shown

    def close(self) -> None:
        self._shell.kill()
        self._shell.wait()
        os.close(self._ours)


@pytest.fixture(params=_SHELLS)
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    argv, line = _SHELLS[request.param]
    program = tmp_path / "goldsmith"
    root = shlex.quote(str(project_root()))
    program.write_text(f'#!/bin/sh\nPYTHONPATH={root} exec {sys.executable} -c "{_PROGRAM}" "$@"\n')
    program.chmod(0o755)
    (tmp_path / "disk-of-mine.qcow2").touch()
    made = Terminal(argv, tmp_path)
    try:
        made.shows(f"{line}; echo re''ady\n", r"\bready\b")
        yield made
    finally:
        made.close()


def test_a_tab_completes_tasks_options_names_and_files(terminal: Terminal) -> None:
    for typed, completed in (
        ("goldsmith ver", "verify-"),
        ("goldsmith doctor --spec fed", "fedora-kubelet"),
        ("goldsmith doctor --spec=fed", "fedora-kubelet"),
        ("goldsmith build-image --from b", "boot"),
        ("goldsmith sign --cert", "--certificate"),
        ("goldsmith verify-image disk", "disk-of-mine.qcow2"),
        ("goldsmith build-image --out=disk", "disk-of-mine.qcow2"),
    ):
        terminal.shows(f"{typed}\t", completed.removeprefix(typed.split()[-1].rpartition("=")[2]))
        terminal.shows("\x15", "")  # Ctrl-U: an empty line
