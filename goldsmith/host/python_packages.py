# SPDX-License-Identifier: Apache-2.0
"""The Python packages that goldsmith runs with, compared with requirements.lock."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, canonicalize_version

from goldsmith.core import paths
from goldsmith.core.documents import about
from goldsmith.errors import ProvenanceError

LOCK = "requirements.lock"
_OURS = "goldsmith"
_PIN = re.compile(r"^([\w.-]+)==([^\s;\\]+)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class PackageDifference:
    """A Python package that is not the one of requirements.lock."""

    name: Annotated[str, about("Name of the package.")]
    locked: Annotated[str | None, about("Version in requirements.lock; null where it has none.")]
    found: Annotated[str | None, about("Version in the environment; null where it is missing.")]

    def __str__(self) -> str:
        return f"{self.name} {self.found or 'missing'} (locked: {self.locked or 'none'})"


def differences() -> tuple[PackageDifference, ...]:
    """What differs from the lock, by name, of the packages that goldsmith needs, directly or not."""
    pins = locked(paths.shipped(LOCK).read_text(encoding="utf-8"))
    found = needed()
    return tuple(
        PackageDifference(name=name, locked=pins.get(name), found=version)
        for name, version in sorted(found.items())
        if version is None or canonicalize_version(version) != canonicalize_version(pins.get(name, ""))
    )


def require_locked() -> None:
    """Raise ProvenanceError, which lists the differences, if this is not the environment of the lock."""
    found = differences()
    if found:
        lines = "".join(f"\n  {each}" for each in found)
        raise ProvenanceError(f"the Python environment differs from {LOCK}{lines}", hint=remedy())


def remedy() -> str:
    """The command that makes this environment the locked one."""
    pip = f"{sys.executable} -m pip"
    return f"run: {pip} install --require-hashes -r {paths.shipped(LOCK)}"


def locked(text: str) -> dict[str, str]:
    """Name -> version, of a file as pip-compile writes it."""
    return {canonicalize_name(name): version for name, version in _PIN.findall(text)}


def needed() -> dict[str, str | None]:
    """Name -> version of every package that goldsmith needs in this environment; None where it is missing."""
    found: dict[str, str | None] = {}
    left, seen = [(_OURS, "")], {(_OURS, "")}
    while left:
        name, extra = left.pop()
        try:
            package = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
            continue
        found[name] = package.version
        new = set(_requirements(package, extra)) - seen
        seen |= new
        left += new
    del found[_OURS]
    return found


def _requirements(package: importlib.metadata.Distribution, extra: str) -> Iterator[tuple[str, str]]:
    """Name and extra of what a package needs here; an extra needs the package without it, too."""
    for requirement in map(Requirement, package.requires or ()):
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            name = canonicalize_name(requirement.name)
            yield name, ""
            yield from ((name, each) for each in requirement.extras)
