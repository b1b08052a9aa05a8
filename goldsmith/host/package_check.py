# SPDX-License-Identifier: Apache-2.0
"""Before a build: whether Debian's index offers the packages that a spec names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from goldsmith.apt import indexes, mirror, names
from goldsmith.apt.indexes import FRESH_ONLY, Accepted
from goldsmith.apt.store import OtherContent
from goldsmith.core import paths, progress
from goldsmith.core.files import in_tool_cache
from goldsmith.errors import SpecError
from goldsmith.spec.checks import dib_elements
from goldsmith.spec.load import LoadedSpec
from goldsmith.spec.model import Distribution
from goldsmith.spec.problem import Problem

_SETS_SOURCES = ("DIB_APT_", "DIB_DEBIAN_", "DIB_DISTRIBUTION_MIRROR")
SHIPPED = frozenset(
    (
        "docker-engine", "goldsmith-fedora", "goldsmith-guest", "goldsmith-hardware", "goldsmith-identity",
        "goldsmith-seal", "goldsmith-slim", "heat-agent", "heat-config-docker-cmd", "heat-config-kubelet",
        "kubelet",
    )
)  # fmt: skip
_ALWAYS = ("debian-minimal", "vm")  # diskimage-builder's, which an element of the user's own may replace
# What diskimage-builder runs or reads until the packages of a spec are installed.
_EARLY = ("environment.d", "bin", "root.d", "extra-data.d", "pre-install.d", "install.d")


def require(loaded: LoadedSpec, accepted: Accepted = FRESH_ONLY) -> None:
    """Raise SpecError, with the line of each package that no index has.

    Where dib-env or an element of the user's own may add sources of packages, it is a note.
    """
    spec = loaded.spec
    if not spec.packages or spec.distribution is not Distribution.debian:
        return
    mirrors = mirror.find(spec.mirror)
    try:
        index = indexes.current(spec.release, mirrors, accepted)
        known = names.offered(index, spec.arch.value, mirrors)
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


def is_ours(name: str, folder: Path) -> bool:
    """Whether an element is diskimage-builder's or goldsmith's, not a user's in its place or beside it."""
    place = folder.resolve().parent
    shipped = paths.shipped("elements").resolve()  # in a checkout, users' elements lie there, too
    return place == dib_elements().resolve() or (place == shipped and name in SHIPPED)


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
    own, others = _elements(loaded)
    return any(name.startswith("apt-") for name in others) or any(map(_runs_early, own))


def _elements(loaded: LoadedSpec) -> tuple[list[Path], set[str]]:
    """Folders of the user's own elements, and names of the others, with those that they depend on."""
    own, others = [], set()
    queue = [*loaded.spec.elements, *SHIPPED, *_ALWAYS]
    for name in queue:
        there = [folder / name for folder in (*loaded.elements, dib_elements()) if (folder / name).is_dir()]
        if not there:
            continue
        folder = there[0]
        if is_ours(name, folder):
            others.add(name)
        else:
            own.append(folder)
        deps = folder / "element-deps"
        words = deps.read_text().split() if deps.is_file() else []
        queue += [word for word in dict.fromkeys(words) if word not in queue]
    return own, others


def _runs_early(element: Path) -> bool:
    """It has a file of a phase in which sources can be added, whatever program does so."""
    return any(
        path.is_file() and not in_tool_cache(path.relative_to(element))
        for phase in _EARLY
        for path in (element / phase).rglob("*")
    )
