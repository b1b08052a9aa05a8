# SPDX-License-Identifier: Apache-2.0
"""The Python environment of the cloud's services, created once per requirements.lock."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from goldsmith.core import cache, locks, paths, proc, progress
from goldsmith.errors import CommandError, HostError

PYTHON = Path("/usr/bin/python3")  # the distribution's, which has its libvirt module
_DONE = ".complete"
_PIP_SETTINGS = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_CERT",
)
# They have no wheels. Built with the packages of build.lock, not with what pip would fetch without a hash.
_SOURCES = ("--no-binary", "ovs,simplegeneric", "--no-build-isolation")
_LIBVIRT = "import libvirt, libvirtmod; print(libvirt.__file__); print(libvirtmod.__file__)"


def ensure_environment(*, log_path: Path) -> Path:
    """The environment of devcloud/requirements.lock. Raises HostError, CommandError."""
    lock = paths.shipped("devcloud/requirements.lock")
    key = hashlib.sha256(lock.read_bytes() + _version().encode()).hexdigest()[:16]
    venv = paths.cache_root() / cache.ENVIRONMENTS / f"cloud-{key}"
    venv.parent.mkdir(parents=True, exist_ok=True)
    with locks.locked(venv.with_suffix(".lock"), wait=True):
        if not (venv / _DONE).exists():
            with progress.step("Python environment of the cloud's services"):
                _make(venv, lock, log_path)
    return venv


def pip_settings() -> dict[str, str]:
    """The variables by which pip finds packages; they may contain credentials."""
    return {name: os.environ[name] for name in _PIP_SETTINGS if name in os.environ}


def _version() -> str:
    if not PYTHON.exists():
        raise HostError(f"{PYTHON} is missing", hint="run: scripts/inv cloud-up, which names the packages")
    return proc.capture([PYTHON, "--version"])


def _make(venv: Path, lock: Path, log_path: Path) -> None:
    shutil.rmtree(venv, ignore_errors=True)
    try:
        proc.run([PYTHON, "-m", "venv", venv], log_path=log_path)
        for words in (("-r", lock.with_name("build.lock")), (*_SOURCES, "-r", lock)):
            proc.run(
                [
                    venv / "bin/python", "-m", "pip", "install", "--disable-pip-version-check", "--no-input",
                    "--require-hashes", "--only-binary", ":all:", *words,
                ],
                log_path=log_path, env=proc.environment(pip_settings()), on_line=progress.live,
            )  # fmt: skip
        _link_libvirt(venv)
        (venv / _DONE).touch()
    except BaseException:
        shutil.rmtree(venv, ignore_errors=True)
        raise


def _link_libvirt(venv: Path) -> None:
    """Use the host's libvirt module, which matches the host's library."""
    try:
        found = proc.capture([PYTHON, "-c", _LIBVIRT]).splitlines()
    except CommandError as e:
        raise HostError(
            f"{PYTHON} has no module libvirt", hint="Debian: apt-get install python3-libvirt"
        ) from e
    packages = next((venv / "lib").glob("python3*")) / "site-packages"
    for path in map(Path, found):
        (packages / path.name).symlink_to(path)
