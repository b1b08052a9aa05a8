# SPDX-License-Identifier: Apache-2.0
"""Run all linters and all test suites, with one report."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from goldsmith.core import proc, progress
from goldsmith.core.paths import project_root
from goldsmith.devcloud import venv
from goldsmith.errors import VerificationError
from tests.lint import linters

# In this order: the fastest come first.
SUITES = ("tests/unit", "tests/scripts", "tests/elements", "tests/integration")


def run(junit: Path) -> None:
    """Run the linters, then all suites with a JUnit report. Raises VerificationError if anything fails."""
    with progress.step("lint"):
        linters.lint()
    junit.parent.mkdir(parents=True, exist_ok=True)
    argv = [
        sys.executable, "-m", "pytest", *SUITES, "--junitxml", os.fspath(junit), "--durations=40",
        "--no-loadscope-reorder",
        "-o", "junit_family=xunit2", "-v",
    ]  # fmt: skip
    with progress.step("tests"):
        # tests create virtual environments with pip
        env = proc.environment(venv.pip_settings())
        status = proc.interactive(argv, env=env, cwd=project_root())
    if status != 0:
        raise VerificationError(f"pytest exited with {status}", hint=f"see {junit}")
