# SPDX-License-Identifier: Apache-2.0
"""The values that words and options take: what help calls them, and what completes them."""

from __future__ import annotations

import inspect
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

from invoke.parser.argument import Argument
from invoke.parser.context import ParserContext, to_flag
from invoke.tasks import Task

Kind = str | list[str]  # spec, build, cloud, document, file; or all values that there are; or "": unknown


@dataclass(frozen=True, slots=True)
class Value:
    """name: for help texts."""

    name: str
    kind: Kind = ""


_ID, _CLOUD, _SPEC = Value("ID", "build"), Value("NAME", "cloud"), Value("NAME", "spec")
_DIR, _FILE, _SIZE = Value("DIR", "file"), Value("FILE", "file"), Value("MIB")
_REASON, _LEVELS = Value("REASON"), ("low", "medium", "high", "critical")
_VALUES: Mapping[str, Value] = {  # by the name of an option, or by task and name
    "build": _ID, "to": _ID, "old": _ID, "new": _ID, "reason": _REASON,
    "name": _SPEC, "spec": _SPEC, "cloud": _CLOUD, "document": Value("NAME", "document"),
    "out": _DIR, "record": _DIR, "tests": _DIR, "database": Value("PATH", "file"),
    "key": _FILE, "signed-by": _FILE, "manifest": _FILE, "statement": _FILE, "export": _FILE,
    "import": _FILE, "junit": _FILE, "report": _FILE, "procedure": _FILE, "file": _FILE, "release": _FILE,
    "from": Value("STAGE", ["boot", "verify"]), "action": Value("ACTION", ["start", "stop"]),
    "what": Value("NAME", ["export", "image", "proof", "publish"]),
    "shell": Value("SHELL", ["bash", "fish", "zsh"]),
    "fail-on": Value("LEVEL", [*_LEVELS, *(f"{level}-fixable" for level in _LEVELS)]),
    "signal": Value("TRANSPORT", ["HEAT_SIGNAL", "CFN_SIGNAL", "TEMP_URL_SIGNAL"]),
    "poll": Value("TRANSPORT", ["POLL_SERVER_HEAT", "POLL_SERVER_CFN", "POLL_TEMP_URL"]),
    "var": Value("NAME=VALUE"), "accept-unsigned": _REASON, "accept-dirty": _REASON,
    "certificate": Value("UUID"), "builder": Value("URI"), "upgrade": Value("PARTS"),
    "services": Value("NAMES"), "store-size": _SIZE, "quota": _SIZE, "memory": _SIZE,
    "deadline": Value("SECONDS"), "cache-older-than": Value("DAYS"),
    "cache-max-size": Value("SIZE"),
    "soak name": Value("NAME"), "image": Value("NAME"), "into": _DIR,
    **{f"cloud-{task} name": Value("NAME") for task in ("up", "down", "status", "env", "service")},
}  # fmt: skip


def of(task: str, argument: Argument) -> Value:
    """The value of a word or an option of a task."""
    name = argument.names[0]
    found = _VALUES.get(f"{task} {name}") or _VALUES.get(name)
    return found or Value("N" if argument.kind in (int, float) else "VALUE")


def summary(task: Task[Any]) -> str:
    """What a task does: the first sentence of its docstring, without a full stop."""
    first = " ".join((inspect.getdoc(task) or "").split()).split(". ")[0]
    return first.partition(": ")[0].rstrip(".")


def vocabulary(
    tasks: Mapping[str, Task[Any]], contexts: Mapping[str, ParserContext], in_a_checkout: Container[str]
) -> dict[str, Any]:
    """What completion has to know of all tasks, as JSON. An option without a value has null.

    in_a_checkout: names of the tasks that an installed goldsmith does not have.
    """
    return {
        name: {
            "about": summary(tasks[name]),
            "in_a_checkout": name in in_a_checkout,
            "words": [of(name, argument).kind for argument in context.positional_args],
            "options": _options(name, context),
        }
        for name, context in sorted(contexts.items())
    }


def _options(task: str, context: ParserContext) -> dict[str, Kind | None]:
    found: dict[str, Kind | None] = {}
    inverse = {long: no for no, long in context.inverse_flags.items()}
    for argument in context.args.values():
        long = to_flag(argument.names[0])
        needs_value = argument.takes_value and not argument.optional
        found |= {
            flag: of(task, argument).kind if needs_value else None
            for flag in (inverse.get(long, long), *map(to_flag, argument.names[1:]))
        }
    return dict(sorted(found.items()))
