# SPDX-License-Identifier: Apache-2.0
"""Run all linters of the project."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from goldsmith.core import proc, progress
from goldsmith.core.paths import project_root
from goldsmith.errors import CommandError, VerificationError
from tests.lint import elements


def lint() -> None:
    """Run every linter, also after a failure. Raises VerificationError with the output of failed ones."""
    root = project_root()
    failed = []
    for name, argv in _linters(root):
        try:
            proc.capture(argv, cwd=root, timeout_s=300)
        except CommandError as e:
            failed.append(f"{name}:" + "".join(f"\n  | {line}" for line in _output_of(argv, root, e)))
        else:
            progress.note(f"{name}: clean")
    problems = elements.check(root / "elements")
    if problems:
        failed.append("elements:" + "".join(f"\n  | {line}" for line in problems))
    else:
        progress.note("elements: clean")
    if failed:
        raise VerificationError("lint: " + "\n".join(failed))


def shell_files(root: Path) -> list[str]:
    """Every shell script of the project, found by its first line."""
    folders = ("elements", "scripts", ".ci", "containers", "devcloud", "goldsmith", "examples")
    files = sorted(path for folder in folders for path in (root / folder).rglob("*") if path.is_file())
    return [str(path.relative_to(root)) for path in files if _is_shell(path)]


def _linters(root: Path) -> Iterable[tuple[str, Sequence[str]]]:
    python = (sys.executable, "-m")
    shell = shell_files(root)
    yield "ruff check", (*python, "ruff", "check", "--no-cache", ".")
    yield "ruff format", (*python, "ruff", "format", "--no-cache", "--check", "--diff", ".")
    yield "mypy", (*python, "mypy", "--cache-dir", os.devnull)
    yield "shellcheck", ("shellcheck", "--severity=style", *shell)
    yield "shfmt", ("shfmt", "-i", "4", "-ci", "-sr", "-d", *shell)
    yield "codespell", (*python, "codespell_lib", ".")
    yield "yamllint", (*python, "yamllint", "--strict", ".")
    yield "validate-pyproject", (*python, "validate_pyproject", "pyproject.toml")


def _output_of(argv: Sequence[str], root: Path, error: CommandError) -> list[str]:
    """The whole output of a linter. The error has only standard error, and most linters print elsewhere."""
    joined = ("bash", "-c", '"$@" 2>&1 | tail -n 40; true', "lint", *argv)
    return proc.capture(joined, cwd=root, timeout_s=300).splitlines() or list(error.tail)


def _is_shell(path: Path) -> bool:
    with path.open("rb") as source:
        first = source.readline(64)
    if path.suffix in {".sh", ".bash"}:
        return True
    if path.suffix == ".j2":  # a template of a script
        return False
    return first.startswith(b"#!") and (b"bash" in first or first.rstrip().endswith(b"/sh"))
