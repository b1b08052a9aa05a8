# SPDX-License-Identifier: Apache-2.0
"""Tasks for developers of goldsmith: each one replaces itself by a program below tests/."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from invoke.context import Context
from invoke.tasks import task

from goldsmith.cli import common
from goldsmith.cli.common import JSON
from goldsmith.cli.words.descriptions import Group, described


@described(Group.develop, "lint", meaning={6: "a linter found something"})
@task()
def lint(c: Context) -> None:
    """Check style and types of all code: Python, shell, YAML, elements, spelling."""
    _become("tests.lint")


@described(Group.develop, "test --junit junit.xml", meaning={6: "a linter found something, or a test failed"})
@task(help={"junit": "file for the JUnit report; default: out/test/junit.xml"})
def test(c: Context, junit: str = "") -> None:
    """Run linters, unit tests, element tests and integration tests, among them a whole build."""
    _become("tests", *(("--junit", os.fspath(Path(junit).absolute())) if junit else ()))


@described(Group.develop, "bench --what export", 4)
@task(help={"what": "benchmark to run: export, image, proof or publish; default: all", "json": JSON})
def bench(c: Context, what: str = "", json: bool = False) -> None:
    """Measure export, image stage, verification and publication against plain tools, for the same work."""
    _become("tests.bench", *((what,) if what else ()), *(("--json",) if json else ()))


@described(Group.develop, "soak kill --times 20 --seed 1", meaning={6: "a trial failed"})
@task(
    help={
        "name": "kill: kill -9 builds at random moments; kill-linked: the same behind a link; "
        "mutate: verify images that must fail; "
        "container: build the tiny image in a container of goldsmith; "
        "embed: build the default image with each strategy; "
        "fleet: make images of many specs that share a root; "
        "hardware: boot the default image on each kind of machine, disk and network card; "
        "heat-update: update stacks to other images; "
        "heat-failures: break things around a server; heat-group: replace the servers of a group one by one; "
        "heat-signal: deploy while Heat's ports open and close; "
        "heat-engine: deploy while Heat's engine is killed; heat-idle: measure the idle agent; "
        "heat-templates: launch templates as others write them; "
        "heat-transports: verify-heat with each transport (old name: heat-roads); "
        "publish: kill -9 publications; publish-names: publish while clients look images up; "
        "layers: mishaps while an image is made by layers; shapes: build specs of other shapes; "
        "docs: run what the documents tell; "
        "upstream: others' tests against our hooks, others' programs against signatures and bills; "
        "rebuild: build the default image in one go and by layers from the same inputs, and compare; "
        "offline: build the default image from its lock without network",
        "times": "number of trials", "seed": "seed of the random choices",
        "report": "file for the JSON report; an interrupted run resumes from it",
    }
)  # fmt: skip
def soak(c: Context, name: str, times: int = 20, seed: int = 1, report: str = "") -> None:
    """Run a soak test: seeded, recorded trial by trial, resumable."""
    where = ("--report", os.fspath(Path(report).absolute())) if report else ()
    _become("tests.soak", name, "--times", str(times), "--seed", str(seed), *where)


def _become(program: str, *words: str) -> NoReturn:
    """Replace this process by a program of this checkout: terminal, signals and exit code are its own."""
    from goldsmith.core import paths, proc

    with common.reported():
        argv = [sys.executable, "-B", "-m", program, *words]
        proc.become(argv, dict(os.environ), cwd=paths.project_root())
