# SPDX-License-Identifier: Apache-2.0
"""Build the wheel of this checkout, and install it where nothing of the checkout is."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from goldsmith.core.paths import project_root
from goldsmith.host import python_packages

_PYTHON = re.compile(rb"\A#!.*python[\d.]*")


def build(folder: Path) -> Path:
    """The wheel, made by the build backend of the locked environment."""
    _run("hatchling", "build", "--target", "wheel", "--directory", folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, environment: Path) -> Path:
    """A new environment with the wheel and the locked packages that it needs; the command goldsmith in it.

    The packages are copied from the environment of this Python: to fetch them takes half a minute.
    """
    venv.create(environment)
    for name in python_packages.needed():
        _copy(importlib.metadata.distribution(name), environment)
    _run("pip", "--python", environment / "bin/python", "--quiet", "--disable-pip-version-check",
         "install", "--no-deps", "--no-index", wheel)  # fmt: skip
    return environment / "bin/goldsmith"


def _copy(package: importlib.metadata.Distribution, environment: Path) -> None:
    """Copy the files of an installed package; its programs get the other environment's Python."""
    there = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    for file in package.files or ():
        source, target = Path(str(file.locate())), there / file
        if source.suffix == ".pyc" or not source.is_file():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
        if target.resolve().parent == environment.resolve() / "bin":
            python = b"#!" + bytes(environment / "bin/python")
            target.write_bytes(_PYTHON.sub(python, source.read_bytes()))


def _run(module: str, *words: str | Path) -> None:
    argv = [sys.executable, "-m", module, *words]
    subprocess.run(
        argv, cwd=project_root(), check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=300
    )
