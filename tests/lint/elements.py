# SPDX-License-Identifier: Apache-2.0
"""Lint elements of diskimage-builder for mistakes that other linters do not see.

Rules: https://docs.openstack.org/diskimage-builder/latest/developer/developing_elements.html and
the behaviour of dib-run-parts, which silently skips a hook whose name has a dot or that is not executable.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

PHASES = frozenset(
    (
        "block-device", "cleanup", "environment", "extra-data", "finalise", "install", "post-install",
        "post-root", "pre-finalise", "pre-install", "root",
    )
)  # fmt: skip
_HOOK = re.compile(r"[1-9]\d-[a-z0-9-]+")
_REQUIRED = ("set -eu", "set -o pipefail", "DIB_DEBUG_TRACE")
_OUTSIDE = frozenset(
    ("cleanup.d", "extra-data.d", "post-root.d", "pre-finalise.d", "root.d")
)  # of the chroot
_WRITES = re.compile(r"\s*(install|cp|mv|rm|ln|tee|touch|sed -i|mkdir)\b.*\$\{?TARGET_ROOT")
_README_FIELDS = (":Required:", ":Description:", ":Example:")


def check(elements: Path) -> list[str]:
    """A line for each problem: FILE: what is wrong."""
    found = [folder for folder in sorted(elements.iterdir()) if folder.is_dir()]
    problems = [f"{elements}: no element in it"] if not found else []
    owners: dict[str, str] = {}
    for folder in found:
        problems += _check_element(folder, owners)
    return problems


def _check_element(folder: Path, owners: dict[str, str]) -> Iterator[str]:
    yield from _check_readme(folder)
    for phase in sorted(path for path in folder.iterdir() if path.suffix == ".d"):
        if phase.stem not in PHASES:
            yield f"{phase}: no phase of diskimage-builder"
            continue
        for hook in sorted(phase.iterdir()):
            yield from _check_hook(hook, folder.name)
    for extra in sorted(path for path in folder.iterdir() if path.is_dir() and path.suffix != ".d"):
        owner = owners.setdefault(extra.name, folder.name)
        if owner != folder.name:  # all elements' folders are copied into one
            yield f"{extra}: {owner} has a folder of that name too, and the two would be mixed"


def _check_readme(folder: Path) -> Iterator[str]:
    readme = folder / "README.rst"
    if not readme.exists():
        yield f"{folder}: no README.rst"
        return
    text = readme.read_text()
    declared = {
        name
        for path in folder.glob("environment.d/*")
        for name in re.findall(r"export (DIB_\w+)", path.read_text())
    }
    for name in sorted(declared):
        if not re.search(rf"^{name}$", text, re.MULTILINE):
            yield f"{readme}: does not explain {name}"
    for section in re.findall(r"^(DIB_\w+)\n((?:  .*\n|\n)*)", text, re.MULTILINE):
        missing = [field for field in _README_FIELDS if field not in section[1]]
        if missing:
            yield f"{readme}: {section[0]} lacks {' '.join(missing)}"


def _check_hook(hook: Path, element: str) -> Iterator[str]:
    is_environment = hook.parent.name == "environment.d"
    if is_environment and not hook.name.endswith(".bash"):
        yield f"{hook}: files of environment.d end in .bash"
    yield from _check_name(hook, hook.name.removesuffix(".bash") if is_environment else hook.name, element)
    if is_environment:
        return
    if not os.access(hook, os.X_OK):
        yield f"{hook}: is not executable, and would be passed over"
    yield from _check_text(hook, hook.read_text())


def _check_name(hook: Path, name: str, element: str) -> Iterator[str]:
    if not _HOOK.fullmatch(name):
        yield f"{hook}: must be called NN-{element}, 10 to 90, no dot: others are passed over"
    elif int(name[:2]) > 90 or not name[3:].startswith(element):
        yield f"{hook}: must be called NN-{element}, NN at most 90, so that it collides with nobody's"


def _check_text(hook: Path, text: str) -> Iterator[str]:
    if re.match(r"#!.*\bbash\b", text):
        yield from (f"{hook}: lacks {line}" for line in _REQUIRED if line not in text)
    if hook.parent.name in _OUTSIDE:
        for number, line in enumerate(text.splitlines(), 1):
            if _WRITES.match(line):
                yield f"{hook}:{number}: writes to TARGET_ROOT without sudo, which an ordinary user may not"
    if re.search(r"\bdie\b", text):
        yield f"{hook}: die ends with the status of what came before, which may be 0; write exit 1"
