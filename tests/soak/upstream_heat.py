# SPDX-License-Identifier: Apache-2.0
"""Run the tests of heat-agents with our programs in place of its own.

https://opendev.org/openstack/heat-agents
"""

from __future__ import annotations

import os
import sys
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.core import proc
from goldsmith.errors import VerificationError
from tests.soak import upstream_shim
from tests.soak.upstream_reasons import NOT_RUN, REASONS, Difference

RELEASE = "heat-agents==13.0.0"
SOURCE = (f"{RELEASE} --hash=sha256:346099c6e9f16bd5e68913b825013acdd97b6743a1764ebcfc08d6528cefa9d6",)
LIBRARIES = (
    "fixtures==4.3.2 --hash=sha256:c71ad55a9139bd20b3265c1d44c1a67fefb9efdddd79614096f538de63fbf4d8",
    "testtools==2.9.1 --hash=sha256:faf2d689b3614d87459f7f715fc8349a3f77a252486b104d0cfe635b44326895",
)
_DOWNLOAD_S, _TESTS_S = 300.0, 300.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Suite:
    """tests: a file of theirs; programs: paths in their source -> names of ours, for upstream_shim."""

    tests: str
    programs: Mapping[str, str]


def _hook(name: str) -> Suite:
    word = name.replace("-", "_")
    return Suite(
        tests=f"test_hook_{word}.py", programs={f"heat-config-{name}/install.d/hook-{name}.py": name}
    )


SUITES: Mapping[str, Suite] = {
    **{name: _hook(name) for name in ("script", "ansible", "puppet", "cfn-init")},
    "docker-cmd": Suite(
        tests="test_hook_docker_cmd.py",
        programs={
            **_hook("docker-cmd").programs,
            "heat-config-docker-cmd/os-refresh-config/configure.d/50-heat-config-docker-cmd": "prune",
        },
    ),
    "heat-config": Suite(
        tests="test_heat_config.py",
        programs={"heat-config/os-refresh-config/configure.d/55-heat-config": "heat-config"},
    ),
}


def trial(name: str, folder: Path) -> dict[str, Any]:
    """Run one of SUITES in folder, which is empty; what passed, what failed and why."""
    log = folder / "log"
    source = _fetched(folder, log)
    suite = SUITES[name]
    for path, program in suite.programs.items():
        _replace(source / path, program)
    report = folder / "junit.xml"
    argv: tuple[proc.Arg, ...] = (
        sys.executable, "-P", "-m", "pytest", "-q", "-c", os.devnull, f"--rootdir={source}",
        "-p", "no:cacheprovider", f"--junitxml={report}", f"tests/{suite.tests}",
    )  # fmt: skip
    env = {"PYTHONPATH": str(folder / "libraries"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    proc.run(
        argv, log_path=log, cwd=source, env=proc.environment(env), timeout_s=_TESTS_S,
        success_exit_status=(0, 1),
    )  # fmt: skip
    answer = judged(results(report), REASONS.get(name, {}))
    answer["problems"] += unknown({path.name for path in (source / "tests").glob("test_*.py")})
    return answer


def results(report: Path) -> dict[str, str]:
    """CLASS.test -> how it failed, empty for one that passed, of a report in JUnit's form."""
    found = {}
    for case in ET.parse(report).getroot().iter("testcase"):  # noqa: S314 - written by our pytest
        bad = [each for kind in ("failure", "error", "skipped") for each in case.iter(kind)]
        said = "\n".join(f"{each.get('message')}\n{each.text}" for each in bad)
        found[f"{str(case.get('classname')).rpartition('.')[2]}.{case.get('name')}"] = said
    return found


def judged(found: Mapping[str, str], known: Mapping[str, Difference]) -> dict[str, Any]:
    """Sort results into passed and failed ones; each that is not as known is a problem."""
    passed = sorted(name for name, said in found.items() if not said)
    problems = [f"{name} passed, but is listed: {known[name].reason}" for name in passed if name in known]
    problems += [f"{name} is listed, but is no test" for name in sorted(known.keys() - found.keys())]
    failed = {}
    for name, said in sorted(found.items()):
        if said and name not in known:
            problems.append(f"{name} failed: {said}")
        elif said and known[name].shows not in said:
            problems.append(f"{name} failed otherwise than listed ({known[name].shows!r}): {said}")
        elif said:
            failed[name] = known[name].reason
    if not found:
        problems.append("there was no test")
    return {"passed": passed, "failed": failed, "problems": problems}


def unknown(files: set[str]) -> list[str]:
    """Problems with their files of tests: each is run by a trial, or listed with a reason."""
    known = {suite.tests for suite in SUITES.values()} | NOT_RUN.keys()
    return [f"{name}: neither run nor listed, or not there" for name in sorted(files ^ known)]


def _fetched(folder: Path, log: Path) -> Path:
    """Download the source and what its tests import, by hash; the folder of the source."""
    for name, lines in (("source", SOURCE), ("libraries", LIBRARIES)):
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    words = (sys.executable, "-P", "-m", "pip", "--disable-pip-version-check")
    given = ("--no-deps", "--require-hashes")
    proc.run(
        [*words, "download", *given, "--no-binary=:all:", "-d", folder, "-r", folder / "source.txt"],
        log_path=log, timeout_s=_DOWNLOAD_S,
    )  # fmt: skip
    proc.run(
        [*words, "install", *given, "--only-binary=:all:", "--target", folder / "libraries",
         "-r", folder / "libraries.txt"],
        log_path=log, timeout_s=_DOWNLOAD_S,
    )  # fmt: skip
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder)  # noqa: S202 - pip has checked its sha256
    return folder / archive.name.removesuffix(".tar.gz")


def _replace(path: Path, program: str) -> None:
    """Raises VerificationError where there is no such program of theirs."""
    if not path.is_file():
        raise VerificationError(f"heat-agents has no {path.name}", hint=f"see SUITES, for {RELEASE}")
    shim = Path(upstream_shim.__file__)
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P "{shim}" {program}\n')
    path.chmod(0o755)
