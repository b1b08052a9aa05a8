# SPDX-License-Identifier: Apache-2.0
"""Read the words of the command line. A mistake is a SpecError with the word and the nearest right one."""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from invoke.parser.argument import Argument
from invoke.parser.context import ParserContext, to_flag

from goldsmith.cli import common
from goldsmith.errors import SpecError

HELP, LIST, VERSION = ("-h", "--help"), ("-l", "--list"), ("-V", "--version")
JSON = ("-j", "--json")
_YES = ("-y", "--yes")  # scripts/inv takes it as the first word
_KINDS = {int: "a whole number", float: "a number"}
_DEFAULTS: Mapping[str, str] = {
    "name": common.DEFAULT_SPEC,
    "document": "",
    "old": "",
    "new": "",
}  # of words without an option

Tasks = Mapping[str, ParserContext]


class Asked(enum.Enum):
    task = enum.auto()
    help = enum.auto()
    list = enum.auto()
    version = enum.auto()


@dataclass(frozen=True, slots=True)
class Call:
    """What the words ask for. task: with the values of its options; None: no certain task."""

    asked: Asked
    task: ParserContext | None = None


def read(words: Sequence[str], tasks: Tasks) -> Call:
    """What the words after the program's name ask for. Raises SpecError.

    --help counts wherever it stands before a --, also where a value is expected: nobody who asks for help
    means to start something. Words after -- are no options.
    """
    end = words.index("--") if "--" in words else len(words)
    options, others = list(words[:end]), list(words[end + 1 :])
    if any(word in HELP or word.startswith("--help=") for word in options) or options[:1] == ["help"]:
        return Call(Asked.help, _task_to_explain(options, tasks))
    while options:
        word = options.pop(0)
        if not word.startswith("-"):
            return _read_task(word, options, others, tasks)
        if word in VERSION:
            return Call(Asked.version)
        if word not in LIST:
            raise _no_option(word, tasks)
    if others:
        raise _no_task(others[0], tasks)
    return Call(Asked.list)


def wants_json(words: Iterable[str]) -> bool:
    """Whether an error is to be answered as JSON, even where the words cannot be read."""
    return any(word in JSON for word in words)


def has_default(argument: Argument) -> bool:
    """Whether a task runs without this word."""
    return argument.default is not None or str(argument.name) in _DEFAULTS


def _task_to_explain(words: Iterable[str], tasks: Tasks) -> ParserContext | None:
    """The first word is the task; behind an option, it is the first one that can be."""
    said = [word.removeprefix("--help=") for word in words if word not in ("help", *HELP)]
    named = [word for word in said if word and not _is_option(word)]
    found = next((word for word in named if word in tasks), None)
    if named and (found is None or (said[0] == named[0] != found)):
        raise _no_task(named[0], tasks)
    return None if found is None else tasks[found]


def _read_task(name: str, options: list[str], others: list[str], tasks: Tasks) -> Call:
    if name not in tasks:
        raise _no_task(name, tasks)
    reader = _Reader(deepcopy(tasks[name]))
    for words, asked in ((VERSION, Asked.version), (LIST, Asked.list)):
        if any(word in words and not reader.takes(word) for word in options):
            return Call(asked)
    return Call(Asked.task, reader.read(options, others))


class _Reader:
    """Fills the arguments of a task."""

    def __init__(self, task: ParserContext) -> None:
        self._task = task
        self._given: set[str] = set()

    def takes(self, option: str) -> bool:
        return option in self._task.flags or option in self._task.inverse_flags

    def read(self, options: Iterable[str], others: Iterable[str]) -> ParserContext:
        left = deque(options)
        while left:
            word = left.popleft()
            if _is_option(word):
                self._option(word, left)
            else:
                self._word(word)
        for word in others:
            self._word(word)
        self._complete()
        return self._task

    def _option(self, word: str, left: deque[str]) -> None:
        """Handle --name, --name=value, -n, -nvalue, -n=value, and -nm for two options without values."""
        if word.startswith("--"):
            flag, equals, text = word.partition("=")
        else:
            flag, equals, text = word[:2], word[2:], word[2:].removeprefix("=")
        value = text if equals else None
        if not self.takes(flag):
            raise self._unknown(flag if word.startswith("--") else word)
        argument = self._task.flags[self._task.inverse_flags.get(flag, flag)]
        if argument.takes_value:
            self._set(argument, self._value(argument, value, left))
            return
        if value is not None and (word.startswith("--") or equals.startswith("=")):
            raise self._mistake(f"{flag} takes no value, got {value!r}")
        if value is not None:
            left.appendleft(f"-{value}")
        self._set(argument, flag not in self._task.inverse_flags)

    def _value(self, argument: Argument, value: str | None, left: deque[str]) -> str | bool:
        if value is not None:
            return value
        if left and not _is_option(left[0]):
            if argument.optional and self._missing():
                raise self._mistake(
                    f"{left[0]!r} may be the value of {_flag(argument)} or {self._missing()[0]}",
                    hint=f"write {_flag(argument)}={left[0]}, or the word before the option",
                )
            return left.popleft()
        if argument.optional:
            return True
        got = f", got {left[0]!r}" if left and not self.takes(left[0].partition("=")[0]) else ""
        hint = f"write {_flag(argument)}={left[0]} if that is the value" if got else None
        raise self._mistake(f"{_flag(argument)} needs a value{got}", hint=hint)

    def _word(self, word: str) -> None:
        free = (a for a in self._task.positional_args if str(a.name) not in self._given)
        argument = next(free, None)
        if argument is None:
            raise self._mistake(f"{self._task.name} does not take the word {word!r}")
        self._set(argument, word)

    def _set(self, argument: Argument, value: str | bool) -> None:
        if str(argument.name) in self._given and argument.kind is not list:
            raise self._mistake(f"{_flag(argument)} is given twice")
        self._given.add(str(argument.name))
        try:
            argument.set_value(value, cast=not isinstance(value, bool))
            if isinstance(argument.value, float) and not math.isfinite(argument.value):
                raise ValueError(value)
        except ValueError:
            kind = _KINDS.get(argument.kind, "another value")
            raise self._mistake(f"{_flag(argument)} takes {kind}, got {value!r}") from None

    def _missing(self) -> list[str]:
        """Words that the task takes and that are not given."""
        words = self._task.positional_args
        return [str(a.name).upper() for a in words if str(a.name) not in self._given]

    def _complete(self) -> None:
        for argument in self._task.positional_args:
            default = _DEFAULTS.get(str(argument.name))
            if argument.value is None and default is not None:
                argument.set_value(default)
        missing = [str(a.name).upper() for a in self._task.positional_args if a.value is None]
        if missing:
            raise self._mistake(f"{self._task.name} needs {' and '.join(missing)}")

    def _unknown(self, option: str) -> SpecError:
        if option in _YES:
            return self._mistake(
                f"{option} belongs before a task", hint=f"write: scripts/inv --yes {self._task.name}"
            )
        known = [*self._task.flags, *self._task.inverse_flags, *HELP]
        return self._mistake(f"{self._task.name} has no option {option}", hint=_nearest(option, known))

    def _mistake(self, message: str, *, hint: str | None = None) -> SpecError:
        return SpecError(message, hint=hint or f"see: scripts/inv {self._task.name} --help")


def _is_option(word: str) -> bool:
    """Not so are - (standard input) and negative numbers."""
    return len(word) > 1 and word[0] == "-" and not word[1].isdigit() and word[1] != "."


def _flag(argument: Any) -> str:
    return to_flag(argument.names[0])


def _no_option(option: str, tasks: Tasks) -> SpecError:
    option = option.partition("=")[0]
    if any(option in task.flags or option in task.inverse_flags for task in tasks.values()):
        return SpecError(f"{option} belongs after a task", hint=f"write: scripts/inv TASK {option}")
    near = _nearest(option, [*HELP, *LIST, *VERSION])
    return SpecError(f"there is no option {option}", hint=near or "see: scripts/inv --help")


def _no_task(name: str, tasks: Tasks) -> SpecError:
    near = _nearest(name, tasks)
    return SpecError(f"there is no task {name}", hint=near or "see: scripts/inv --list")


def _nearest(word: str, known: Iterable[str]) -> str | None:
    close = get_close_matches(word, list(known), n=1)
    return f"did you mean {close[0]}?" if close else None
