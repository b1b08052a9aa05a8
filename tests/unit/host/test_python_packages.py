# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.core import paths
from goldsmith.host import preflight, python_packages
from goldsmith.host.python_packages import PackageDifference

Install = Callable[..., None]
LOCK = "# made\nFirst.Part==1.0 \\\n    --hash=sha256:00\nsecond==2.0 ; python_version > '3'\nunused==9\n"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """install(NAME, VERSION, *REQUIREMENTS): metadata of a package that is found first."""
    (tmp_path / "requirements.lock").write_text(LOCK)
    monkeypatch.setattr(paths, "shipped", lambda name: tmp_path / name)
    monkeypatch.syspath_prepend(tmp_path)

    def made(name: str, version: str, *requirements: str) -> None:
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        lines = "".join(f"Requires-Dist: {each}\n" for each in requirements)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{lines}")

    return made


def test_the_environment_of_the_lock_does_not_differ_whatever_else_is_in_it(install: Install) -> None:
    install("goldsmith", "1.2", "first_part>=1", 'other; extra == "dev"')
    install("first_part", "1.0.0", 'second; python_version > "3"', 'other; python_version < "3"')
    install("second", "2.0", "First-Part")
    install("unused", "8")

    assert python_packages.differences() == ()
    assert preflight.check_python_packages().found == "as in requirements.lock"


def test_other_versions_and_packages_that_are_missing_or_not_locked_are_named(install: Install) -> None:
    install("goldsmith", "1.2", "first-part[fast]", "second")
    install("first_part", "1.1", 'unlocked; extra == "fast"', 'other; extra == "slow"')
    install("unlocked", "3")

    assert python_packages.differences() == (
        PackageDifference(name="first-part", locked="1.0", found="1.1"),
        PackageDifference(name="second", locked="2.0", found=None),
        PackageDifference(name="unlocked", locked=None, found="3"),
    )


def test_doctor_names_what_differs_and_builds_run_all_the_same(install: Install) -> None:
    install("goldsmith", "1.2", "second")
    install("second", "2.1")

    check = preflight.check_python_packages()

    assert check.ok
    assert check.found == "differ from requirements.lock: second 2.1 (locked: 2.0)"
    assert check.remedy.startswith("only for --locked: run: ")


def test_the_lock_pins_every_package_that_goldsmith_needs() -> None:
    pins = python_packages.locked(paths.shipped("requirements.lock").read_text())

    assert {"invoke", "diskimage-builder", "pytest"} <= python_packages.needed().keys() <= pins.keys()
