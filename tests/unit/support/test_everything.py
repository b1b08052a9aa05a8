# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.core import proc
from goldsmith.core.paths import project_root
from goldsmith.errors import VerificationError
from tests.lint import elements, linters
from tests.support import everything


@pytest.fixture
def two_linters(monkeypatch: pytest.MonkeyPatch, fake: Callable[..., Path]) -> None:
    """Two linters of our own, and elements that are clean."""
    fake("good")
    fake("bad", "echo line 7 is too long; exit 1")
    monkeypatch.setattr(elements, "check", lambda _folder: [])


def use(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(linters, "_linters", lambda _root: [(name, (name,)) for name in names])


def test_all_suites_are_there() -> None:
    assert [
        suite for suite in everything.SUITES if not list((project_root() / suite).glob("test_*.py"))
    ] == []


@pytest.mark.parametrize(("status", "fails"), [(0, False), (1, True), (5, True)])
def test_tests_that_fail_or_are_not_there_fail(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int, fails: bool
) -> None:
    monkeypatch.setattr(linters, "lint", lambda: None)
    monkeypatch.setattr(proc, "interactive", lambda _argv, **_options: status)
    junit = tmp_path / "new" / "junit.xml"

    if fails:
        with pytest.raises(VerificationError, match=f"pytest exited with {status}"):
            everything.run(junit)
    else:
        everything.run(junit)

    assert junit.parent.is_dir()


def test_the_tests_see_the_variables_that_goldsmith_reads(
    two_linters: None, monkeypatch: pytest.MonkeyPatch, fake: Callable[..., Path], tmp_path: Path
) -> None:
    use(monkeypatch, "good")
    fake("pytest-of-ours", f'env > "{tmp_path}/env"')
    monkeypatch.setattr(sys, "executable", "pytest-of-ours")
    given = {
        "GOLDSMITH_DEBIAN_MIRROR": "http://a.test", "GOLDSMITH_DEBIAN_SECURITY_MIRROR": "http://b.test",
        "GOLDSMITH_SCRATCH": "/var/tmp/x", "GOLDSMITH_VULNERABILITIES": "db", "PIP_INDEX_URL": "http://c.test",
    }  # fmt: skip
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    everything.run(tmp_path / "junit.xml")

    seen = dict(line.partition("=")[::2] for line in (tmp_path / "env").read_text().splitlines())
    assert {name: seen.get(name) for name in given} == given
