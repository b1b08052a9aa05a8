# SPDX-License-Identifier: Apache-2.0
"""The user's suites, run by the real pytest where no VM is asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from goldsmith.errors import VerificationError
from goldsmith.verify.expectations import Expectations
from goldsmith.verify.pytest_runner import PytestRunner

BARE = {
    "schema": "goldsmith.expectations", "version": 1, "phase": "booted", "systemd": False, "build": None,
    "images": [], "manifest": None, "image_sha256": "1", "user": "root", "hostname": "golden", "nics": [],
    "grow_mib": 0, "slowness": 5.0,
}  # fmt: skip


def run(tmp_path: Path, *suites: Path, monkeypatch: pytest.MonkeyPatch) -> PytestRunner:
    monkeypatch.setattr(os, "geteuid", lambda: 0)  # no sudo
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    runner = PytestRunner(scratch, log_path=tmp_path / "log")
    runner._run("booted", Expectations.parse(BARE, "a test", error=VerificationError), suites, ())
    return runner


def test_what_lies_above_a_suite_is_of_other_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a checkout, tests/conftest.py is that of goldsmith's own tests, which may start no program."""
    above = (
        "import pytest\n@pytest.fixture(autouse=True)\ndef cut_off():\n    pytest.fail('of other tests')\n"
    )
    suites = [tmp_path / "tests/one", tmp_path / "tests/two"]
    for suite in suites:
        suite.mkdir(parents=True)
        (suite / "conftest.py").write_text("import pytest\n@pytest.fixture\ndef mine():\n    return 1\n")
        (suite / f"test_{suite.name}.py").write_text("def test_it(mine, expect):\n    assert mine == 1\n")
    (tmp_path / "tests/conftest.py").write_text(above)

    counts = run(tmp_path, *suites, monkeypatch=monkeypatch).merge(tmp_path / "junit.xml")

    assert (counts.tests, counts.failed) == (2, ()), (tmp_path / "log").read_text()


def test_a_suite_within_another_leaves_the_outer_ones_conftest_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tests/inner").mkdir(parents=True)
    (tmp_path / "tests/conftest.py").write_text("import pytest\n@pytest.fixture\ndef mine():\n    return 1\n")
    (tmp_path / "tests/inner/test_inner.py").write_text("def test_it(mine):\n    assert mine == 1\n")
    suites = tmp_path / "tests/inner", tmp_path / "tests"

    counts = run(tmp_path, *suites, monkeypatch=monkeypatch).merge(tmp_path / "junit.xml")

    assert (counts.tests, counts.failed) == (1, ()), (tmp_path / "log").read_text()
