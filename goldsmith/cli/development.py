# SPDX-License-Identifier: Apache-2.0
"""Tasks for those who change goldsmith: each starts a program below tests/, in its own stead."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from invoke.context import Context
from invoke.tasks import task

from goldsmith.cli import common
from goldsmith.cli.common import JSON


@task
def lint(c: Context) -> None:
    """Check style and types of all code: Python, shell, YAML, elements, spelling."""
    _become("tests.lint")


@task(help={"junit": "file for the JUnit report; default: out/test/junit.xml"})
def test(c: Context, junit: str = "") -> None:
    """Run all tests: lint, unit, elements, integration with the real tools, and the whole main job."""
    _become("tests", *(("--junit", os.fspath(Path(junit).absolute())) if junit else ()))


@task(help={"what": "export, image or publish; default: all", "json": JSON})
def bench(c: Context, what: str = "", json: bool = False) -> None:
    """Compare our export and our image stage with the plain tools, on the same work, in one run."""
    _become("tests.bench", *((what,) if what else ()), *(("--json",) if json else ()))


@task(
    help={
        "name": "kill: builds killed with -9 at random moments; mutate: images that must fail verification; "
        "embed: the default image with each way to embed; heat-update: updates that change "
        "images; heat-failures: what can go wrong around a server; heat-group: servers that are replaced one "
        "by one; heat-signal: deployments while Heat's ports come and go; "
        "heat-engine: and while its engine is killed; heat-idle: the agent at rest; "
        "heat-transports: verify-heat by each transport (also called heat-roads); "
        "publish: publications killed with -9; publish-names: releases, watched by clients; "
        "rebuild: the default image made twice from the same inputs; offline: it is built from its lock, "
        "without network",
        "times": "how many trials", "seed": "of the random choices; the same seed, the same trials",
        "report": "file for the JSON report; an interrupted run continues from it",
    }
)  # fmt: skip
def soak(c: Context, name: str, times: int = 20, seed: int = 1, report: str = "") -> None:
    """Soak tests: seeded, recorded trial by trial, resumable."""
    where = ("--report", os.fspath(Path(report).absolute())) if report else ()
    _become("tests.soak", name, "--times", str(times), "--seed", str(seed), *where)


def _become(program: str, *words: str) -> NoReturn:
    """Be a program of this checkout from now on: it gets the terminal, the signals and the exit code."""
    from goldsmith.core import paths, proc

    with common.reported():
        argv = [sys.executable, "-B", "-m", program, *words]
        proc.become(argv, dict(os.environ), cwd=paths.project_root())
