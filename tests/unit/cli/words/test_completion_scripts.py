# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from goldsmith.cli.words import completion_scripts
from goldsmith.core.paths import project_root
from goldsmith.errors import SpecError

_FAKE = r"""
shift # --complete
printf '<%s>' "$@" > "$0.words"
case ${!#} in
    --out=* | file*) exit 3 ;;
    --name=*) printf -- '--name=one\t\n--name=two\tthe second: word\n' ;;
    away*) exit 1 ;;
    *) printf 'plan\tthe plan\nplan-publish\t\n' ;;
esac
"""
_ASK = """
compopt() { printf 'compopt %s\\n' "$*"; }
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_goldsmith "$1"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_a_script_is_for_the_program_that_printed_it(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/venv/bin/goldsmith", "completion", shell])
    installed = completion_scripts.text(shell)
    monkeypatch.setattr("sys.argv", ["/checkout/goldsmith/cli/program.py", "completion", shell])
    checkout = completion_scripts.text(shell)

    assert "@PROGRAMS@" not in installed + checkout
    assert "goldsmith\n" in installed
    assert "scripts/inv" not in installed
    for program in ("scripts/inv", "./scripts/inv", str(project_root() / "scripts/inv")):
        assert program in checkout


def test_another_shell_is_a_mistake() -> None:
    with pytest.raises(SpecError, match="no completion for 'bsh'") as e:
        completion_scripts.text("bsh")
    assert e.value.hint == "did you mean bash?"
    with pytest.raises(SpecError) as e:
        completion_scripts.text("../../etc/passwd")
    assert e.value.hint == "use one of: bash, fish, zsh"


def in_bash(tmp_path: Path, *words: str) -> tuple[list[str], str]:
    """What bash offers for the words as it takes them apart, and the words that the program was asked for."""
    program = tmp_path / "goldsmith"
    program.write_text(f"#!/bin/bash{_FAKE}")
    program.chmod(0o755)
    script = completion_scripts.text("bash").replace("complete -F", "true complete -F") + _ASK
    done = subprocess.run(
        ["bash", "-uc", script, "bash", str(program), *words], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1], (tmp_path / "goldsmith.words").read_text()


def test_bash_asks_the_program_and_shows_its_words(tmp_path: Path) -> None:
    assert in_bash(tmp_path, "pl") == (["plan", "plan-publish"], "<pl>")
    assert in_bash(tmp_path, "a", "--b", "") == (["plan", "plan-publish"], "<a><--b><>")


def test_bash_puts_together_what_it_takes_apart_at_an_equals_sign(tmp_path: Path) -> None:
    assert in_bash(tmp_path, "x", "--name", "=", "o") == (["one", "two"], "<x><--name=o>")
    assert in_bash(tmp_path, "x", "--name", "=") == (["one", "two"], "<x><--name=>")
    assert in_bash(tmp_path, "x", "--var", "=", "a", "=", "b", "p")[1] == "<x><--var=a=b><p>"


def test_bash_completes_names_of_files_where_it_is_told_to(tmp_path: Path) -> None:
    assert in_bash(tmp_path, "x", "file")[0] == ["compopt -o default", ""]
    assert in_bash(tmp_path, "x", "--out", "=", "f")[0] == ["compopt -o default", ""]


def test_bash_offers_nothing_where_the_program_cannot_run(tmp_path: Path) -> None:
    assert in_bash(tmp_path, "away")[0] == [""]
