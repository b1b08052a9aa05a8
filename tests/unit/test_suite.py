# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from goldsmith.workspace import project_root

TESTS = """
import pytest

def test_plain(expect): assert expect["phase"] == "booted"

@pytest.mark.needs("kubelet", "pods")
def test_pods(): pass

@pytest.mark.needs("systemd")
def test_systemd(): pass
"""
BARE: dict[str, Any] = {
    "phase": "booted", "systemd": False, "build": None, "images": [], "manifest": None,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "test_it.py").write_text(TESTS)
    return tmp_path


def run(folder: Path, **expect: Any) -> tuple[int, str]:
    """The suite's status and output, judged by an image like this."""
    path = folder / "expect-booted.json"
    path.write_text(json.dumps({**BARE, **expect}))
    argv = [
        sys.executable, "-B", "-m", "pytest", "-v", "-p", "goldsmith.suite",
        "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(folder), "--expect", str(path),
        str(folder),
    ]  # fmt: skip
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # they take half a second to import
    done = subprocess.run(argv, cwd=project_root(), env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def notes(folder: Path) -> list[str]:
    return list(json.loads((folder / "not-applicable.json").read_text()))


def test_what_an_image_does_not_claim_is_left_out_and_said(folder: Path) -> None:
    build = {"kubelet": {"version": "1.35.4"}, "verify": {"pods": []}}

    status, output = run(folder, build=build)

    assert status == 0, output
    assert "1 passed, 2 deselected" in output
    assert notes(folder) == [
        "booted: test_pods: the image has no pods",
        "booted: test_systemd: the image has no systemd",
    ]


def test_what_it_claims_is_tested(folder: Path) -> None:
    build = {"kubelet": {"version": "1.35.4"}, "verify": {"pods": [{}]}}

    status, output = run(folder, build=build, systemd=True)

    assert status == 0, output
    assert "3 passed" in output
    assert not (folder / "not-applicable.json").exists()


def test_notes_of_an_earlier_phase_stay_even_if_they_are_roots(folder: Path) -> None:
    earlier = folder / "not-applicable.json"
    earlier.write_text('["sealed: test_x: the image has no manifest"]')
    inode = earlier.stat().st_ino

    run(folder)

    assert notes(folder)[0] == "sealed: test_x: the image has no manifest"
    assert len(notes(folder)) == 3
    assert earlier.stat().st_ino != inode, "written in place, which only its owner can"


def test_a_feature_that_nobody_knows_does_not_pass_for_one_that_is_lacking(folder: Path) -> None:
    (folder / "test_it.py").write_text(TESTS.replace('needs("systemd")', 'needs("sistemd")'))

    status, output = run(folder)

    assert status not in {0, 5}
    assert "sistemd" in output
