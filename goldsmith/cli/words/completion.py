# SPDX-License-Identifier: Apache-2.0
"""Complete the word that is being typed. A shell calls this at each Tab: it imports as little as it can."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from goldsmith.core import paths

OPTION = "--complete"  # goldsmith --complete WORD...: the words after the program's name, up to the cursor
FILES = 3  # exit code: the shell shall complete names of files
VOCABULARY = Path(__file__).with_name("vocabulary.json")
_OF_PROGRAM = ("--help", "--list", "--version")
_HELP = "--help"

Candidates = Iterable[tuple[str, str]]  # the whole word, and what it is


def main(words: Sequence[str]) -> int:
    """Print a line for each word that may stand at the cursor, with a tab before what it is."""
    try:
        found = sorted({each for each in candidates(words) if each[0].startswith(words[-1] if words else "")})
    except _Files:
        return FILES
    sys.stdout.write("".join(f"{word}\t{about}\n" for word, about in found))
    return 0


class _Files(Exception):
    """The names of files complete the word."""


def candidates(words: Sequence[str]) -> Candidates:
    """What may stand where the last of the words is. Raises _Files."""
    tasks = _tasks()
    *before, last = words or [""]
    name = next((word for word in before if word in tasks), None)
    if "--" in before:
        raise _Files
    if name is None:
        return _options(_OF_PROGRAM) if last.startswith("-") else ((t, tasks[t]["about"]) for t in tasks)
    return _of_task(tasks[name], before[before.index(name) + 1 :], last)


def _tasks() -> dict[str, Any]:
    is_checkout = paths.checkout() is not None
    known = json.loads(VOCABULARY.read_bytes())
    return {name: task for name, task in known.items() if is_checkout or not task["in_a_checkout"]}


def _of_task(task: Mapping[str, Any], before: Sequence[str], last: str) -> Candidates:
    options, given = task["options"], list[str]()
    values = dict[str, str]()
    waiting = ""
    for word in before:
        if waiting:
            values[waiting], waiting = word, ""
        elif word.startswith("-"):
            option, equals, value = word.partition("=")
            values[option] = value
            waiting = option if not equals and options.get(option) is not None else ""
        else:
            given.append(word)
    here = _Here(given, values)
    option, equals, _ = last.partition("=")
    if waiting:
        return here.values_of(options[waiting], last)
    if equals and options.get(option) is not None:
        return ((f"{option}={word}", about) for word, about in here.values_of(options[option], last))
    if last.startswith("-") or len(given) >= len(task["words"]):
        return _options([*options, _HELP])
    return here.values_of(task["words"][len(given)], last)


def _options(names: Iterable[str]) -> Candidates:
    """The long ones: a short one is typed faster than completed."""
    return ((name, "") for name in names if name.startswith("--"))


class _Here:
    """What the words before the cursor and the folders of this host offer."""

    def __init__(self, given: Sequence[str], values: Mapping[str, str]) -> None:
        self._given, self._values = given, values

    def values_of(self, kind: str | Sequence[str], last: str) -> Candidates:
        if not isinstance(kind, str):
            return ((word, "") for word in kind)
        match kind:
            case "spec" if "/" not in last:
                return ((name, "") for name in self._specs())
            case "build":
                return ((name, "") for name in self._builds())
            case "cloud":
                return ((name, "") for name in _clouds())
            case "document":
                return ((name, "") for name in _documents())
            case "file" | "spec":
                raise _Files
        return ()

    def _specs(self) -> Iterator[str]:
        for root in (*paths.roots_of_specs(), Path.cwd()):
            yield from (path.name.removesuffix(".yaml.j2") for path in root.glob("image-specs/*.yaml.j2"))

    def _builds(self) -> Iterator[str]:
        from goldsmith.core import build_folders

        out = paths.out_root(self._values.get("--out") or self._values.get("-o") or "")
        named = self._values.get("--name") or next(iter(self._given), "")
        for folder in [out / named] if (out / named / build_folders.LATEST).exists() else out.glob("*/"):
            with contextlib.suppress(OSError):
                yield from (build.name for build in build_folders.builds_of(folder))


def _documents() -> list[str]:
    from goldsmith.cli import published_schemas

    return published_schemas.names()


def _clouds() -> Iterator[str]:
    """Of the file that openstacksdk would take."""
    import yaml

    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    named = os.environ.get("OS_CLIENT_CONFIG_FILE")
    folders = (Path.cwd(), Path(home) / "openstack", Path("/etc/openstack"))
    files = [Path(named)] if named else [folder / "clouds.yaml" for folder in folders]
    with contextlib.suppress(OSError, ValueError, yaml.YAMLError):
        found = yaml.safe_load(next((f for f in files if f.is_file()), Path(os.devnull)).read_text())
        clouds = found.get("clouds") if isinstance(found, dict) else None
        yield from map(str, clouds if isinstance(clouds, dict) else ())
