# SPDX-License-Identifier: Apache-2.0
"""The project's own checks: lint, and all tests in one report."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from goldsmith import cloudenv, elementlint, proc, progress
from goldsmith.errors import CommandError, VerificationError
from goldsmith.workspace import project_root

# The whole of it in this order: what fails soonest comes first.
SUITES = ("tests/unit", "tests/scripts", "tests/elements", "tests/integration")


def lint() -> None:
    """Run every linter, all of them also after one has failed; raises VerificationError naming those."""
    root = project_root()
    failed = []
    for name, argv in _linters(root):
        try:
            proc.capture(argv, cwd=root, timeout_s=300)
        except CommandError as e:
            failed.append(f"{name}:" + "".join(f"\n  | {line}" for line in _said(argv, root, e)))
        else:
            progress.note(f"{name}: clean")
    problems = elementlint.check(root / "elements")
    if problems:
        failed.append("elements:" + "".join(f"\n  | {line}" for line in problems))
    else:
        progress.note("elements: clean")
    if failed:
        raise VerificationError("lint: " + "\n".join(failed))


def test(junit: Path) -> None:
    """Lint, then all suites, with a JUnit report; raises VerificationError if anything fails."""
    with progress.step("lint"):
        lint()
    junit.parent.mkdir(parents=True, exist_ok=True)
    argv = [
        sys.executable, "-m", "pytest", *SUITES, "--junitxml", os.fspath(junit), "--durations=15",
        "--numprocesses=0",
        "-o", "junit_family=xunit2", "-v",
    ]  # fmt: skip
    with progress.step("tests"):
        # tests make environments of their own, by pip
        env = proc.environment(cloudenv.pip_settings())
        status = proc.interactive(argv, env=env, cwd=project_root())
    if status != 0:
        raise VerificationError(f"pytest exited with {status}", hint=f"see {junit}")


def shell_files(root: Path) -> list[str]:
    """Every shell script of the project, by its first line."""
    folders = ("elements", "scripts", ".ci", "containers", "devcloud")
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


def _said(argv: Sequence[str], root: Path, error: CommandError) -> list[str]:
    """What a linter printed: most print to standard output, which the error does not have."""
    joined = ("bash", "-c", '"$@" 2>&1 | tail -n 40; true', "lint", *argv)
    return proc.capture(joined, cwd=root, timeout_s=300).splitlines() or list(error.tail)


def _is_shell(path: Path) -> bool:
    with path.open("rb") as source:
        first = source.readline(64)
    if path.suffix in {".sh", ".bash"}:
        return True
    if path.suffix == ".j2":  # a template of one
        return False
    return first.startswith(b"#!") and (b"bash" in first or first.rstrip().endswith(b"/sh"))
