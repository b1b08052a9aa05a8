# SPDX-License-Identifier: Apache-2.0
"""The variables of a spec's dib-env: an element of the spec, or diskimage-builder itself, reads each of them.

A name that nobody reads is a typing error, or a variable of a program that an element happens to call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from goldsmith.core.files import in_tool_cache
from goldsmith.errors import SpecError
from goldsmith.image import dib_plan, element_hashes
from goldsmith.spec.checks import dib_elements
from goldsmith.spec.load import LoadedSpec
from goldsmith.spec.problem import Problem

_WORD = re.compile(r"\b[A-Z][A-Z0-9_]*\b|\$\{?(\w+)")  # in capitals, or after a dollar
_LIKE_A_VARIABLE = re.compile(r"[A-Z][A-Z0-9]*_[A-Z0-9_]*[A-Z0-9]")
_BEGINS = re.compile(r"[A-Z]+_[A-Z]+_")  # names that a hook composes, such as DIB_REPOREF_ and a repository
_OF_DIB = ("lib", "block_device")  # beside its elements


def require(loaded: LoadedSpec) -> None:
    """Raise SpecError with the line of each variable that nobody reads."""
    if not loaded.spec.dib_env:
        return
    problems = list(_problems(loaded, _words(loaded)))
    if problems:
        raise SpecError(
            "\n".join(map(str, problems)),
            hint="correct the key dib-env, or name the variable in a file of your element, as its README.rst",
            problems=problems,
        )  # fmt: skip


def _problems(loaded: LoadedSpec, known: frozenset[str]) -> Iterator[Problem]:
    for name in loaded.spec.dib_env:
        if name not in known and not name.startswith(tuple(filter(_BEGINS.fullmatch, known))):
            close = get_close_matches(name, filter(_LIKE_A_VARIABLE.fullmatch, known), n=1)
            hint = f"did you mean '{close[0]}'?" if close else None
            message = f"no element of the spec reads dib-env.{name}, nor does diskimage-builder"
            yield loaded.document.problem(("dib-env", name), message, hint)


def _words(loaded: LoadedSpec) -> frozenset[str]:
    """All words in the text of the spec's elements, of their dependencies and of diskimage-builder."""
    elements = element_hashes.folders(dib_plan.elements(loaded.spec), loaded.elements).values()
    of_dib = (dib_elements().parent / folder for folder in _OF_DIB)
    found: set[str] = set()
    for folder in (*elements, *of_dib):
        for path in _files(folder):
            found.update(match[1] or match[0] for match in _WORD.finditer(path.read_text(errors="replace")))
    return frozenset(found)


def _files(folder: Path) -> Iterator[Path]:
    return (p for p in folder.rglob("*") if p.is_file() and not in_tool_cache(p.relative_to(folder)))
