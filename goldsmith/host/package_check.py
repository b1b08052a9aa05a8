# SPDX-License-Identifier: Apache-2.0
"""Before a build: whether Debian's index offers the packages that a spec names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from goldsmith.apt import indexes, mirror, names
from goldsmith.apt.store import OtherContent
from goldsmith.core import progress
from goldsmith.errors import SpecError
from goldsmith.spec.load import LoadedSpec
from goldsmith.spec.model import Distribution
from goldsmith.spec.problem import Problem

_SETS_SOURCES = ("DIB_APT_", "DIB_DEBIAN_", "DIB_DISTRIBUTION_MIRROR")
_SOURCES = b"sources.list"  # also sources.list.d
_TOO_LATE = frozenset(("post-install.d", "finalise.d", "cleanup.d"))  # the packages are installed by then
_LARGEST = 1 << 20


def require(loaded: LoadedSpec) -> None:
    """Raise SpecError, with the line of each package that no index has.

    Where an element or dib-env may add sources of packages, it is a note.
    """
    spec = loaded.spec
    if not spec.packages or spec.distribution is not Distribution.debian:
        return
    mirrors = mirror.find(spec.mirror)
    try:
        known = names.offered(indexes.current(spec.release, mirrors), spec.arch.value, mirrors)
    except (OSError, OtherContent) as e:
        progress.note(f"cannot check the names of packages: {e}")
        return
    problems = list(_problems(loaded, known))
    if problems and _adds_sources(loaded):
        for problem in problems:
            progress.note(f"{problem}; an element or dib-env may add its source")
    elif problems:
        raise SpecError(
            "\n".join(map(str, problems)),
            hint="correct the key packages, or add an element that adds their source", problems=problems,
        )  # fmt: skip


def _problems(loaded: LoadedSpec, known: frozenset[str]) -> Iterator[Problem]:
    for index, name in enumerate(loaded.spec.packages):
        if name not in known:
            close = names.closest(name, known)
            hint = None if close is None else f"did you mean '{close}'?"
            message = f"Debian {loaded.spec.release} has no package '{name}'"
            yield loaded.document.problem(("packages", index), message, hint)


def _adds_sources(loaded: LoadedSpec) -> bool:
    if any(name.startswith(_SETS_SOURCES) for name in loaded.spec.dib_env):
        return True
    own = [folder / name for name in loaded.spec.elements for folder in loaded.elements]
    there = [folder for folder in own if folder.is_dir()]
    others = {*loaded.spec.elements} - {folder.name for folder in there}  # diskimage-builder's
    return any(name.startswith("apt-") for name in others) or any(map(_writes_sources, there))


def _writes_sources(element: Path) -> bool:
    for path in element.rglob("*"):
        early = not _TOO_LATE.intersection(path.relative_to(element).parts)
        if early and path.is_file() and path.stat().st_size < _LARGEST and _SOURCES in path.read_bytes():
            return True
    return False
