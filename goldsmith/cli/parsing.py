# SPDX-License-Identifier: Apache-2.0
"""Words of the command line: defaults of positional arguments, and mistakes as errors with exit code 2."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, ClassVar

import invoke.parser.parser
from invoke.exceptions import ParseError
from invoke.parser.context import to_flag
from invoke.parser.parser import ParseMachine
from invoke.program import Program

from goldsmith.cli import common
from goldsmith.errors import SpecError

_LIST = "--list"
_KINDS = {int: "a whole number", float: "a number"}


def install(defaults: Mapping[str, str]) -> None:
    """Have Invoke parse tasks by these rules. defaults: name of a positional argument -> its default.

    Invoke loads tasks.py between its own options and the words of a task, so this comes in time.
    """
    _Machine.defaults = defaults
    invoke.parser.parser.ParseMachine = _Machine  # type: ignore[misc]
    for step in ("parse_tasks", "parse_cleanup"):
        setattr(Program, step, _reported(getattr(Program, step)))


class _Machine(ParseMachine):
    """Invoke's parser, with errors that name the task and the option.

    Invoke allows an argument to be positional or to have a default, but not both. So a task declares no
    default, and its arguments get them here, when all words of the task are read.
    """

    defaults: ClassVar[Mapping[str, str]] = {}

    def handle(self, token: str) -> None:
        if not self.ignore_unknown and not self.waiting_for_flag_value:
            self._refuse_unknown(token)
        super().handle(token)

    def complete_context(self) -> None:
        missing = list(self.context.missing_positional_args) if self.context else []
        for argument in missing:
            default = self.defaults.get(str(argument.name))
            if default is not None:
                argument.set_value(default)
        names = [str(argument.name).upper() for argument in missing if argument.value is None]
        if names:
            raise self._mistake(f"{self.context.name} needs {' and '.join(names)}")
        super().complete_context()

    def complete_flag(self) -> None:
        flag = self.flag
        if flag is not None and flag.takes_value and flag.raw_value is None and not flag.optional:
            raise self._mistake(f"{to_flag(flag.name)} needs a value")
        super().complete_flag()

    def see_value(self, value: Any) -> None:
        try:
            super().see_value(value)
        except ValueError:
            assert self.flag is not None  # it is what refused the value
            kind = _KINDS.get(self.flag.kind, "another value")
            raise self._mistake(f"{to_flag(self.flag.name)} takes {kind}, got {value!r}") from None

    def _refuse_unknown(self, token: str) -> None:
        """Raise SpecError for an option, a task or a further word that nothing here takes."""
        context, initial = self.context, self.initial
        options = {*context.flags, *context.inverse_flags}
        if token in options or token in initial.flags:
            return
        if token.startswith("-") and len(token) > 1:
            if context.name is None and token in self._options_of_tasks():
                raise SpecError(f"{token} belongs after a task", hint=f"write: scripts/inv TASK {token}")
            what = f"{context.name} has no option {token}" if context.name else f"there is no option {token}"
            raise self._mistake(what, token, options)
        if context.missing_positional_args or token in self.contexts:
            return
        if context.name is None:
            raise self._mistake(f"there is no task {token}", token, self.contexts)
        raise self._mistake(f"{context.name} does not take the word {token!r}")

    def _options_of_tasks(self) -> set[str]:
        contexts = self.contexts.values()
        return {flag for context in contexts for flag in (*context.flags, *context.inverse_flags)}

    def _mistake(self, message: str, word: str = "", known: Iterable[str] = ()) -> SpecError:
        name = self.context.name if self.context else None
        return _mistake(message, word, known, see=f"--help {name}" if name else _LIST)


# Invoke's state machines inherit no states.
_Machine._class_states, _Machine._class_transitions = (
    ParseMachine._class_states,
    ParseMachine._class_transitions,
)


def _mistake(message: str, word: str, known: Iterable[str], *, see: str) -> SpecError:
    close = get_close_matches(word, list(known), n=1)
    return SpecError(message, hint=f"did you mean {close[0]}?" if close else f"see: scripts/inv {see}")


def _reported(step: Callable[[Program], None]) -> Callable[[Program], None]:
    """A step of Invoke whose errors are reported as those of tasks are."""

    def report(self: Program) -> None:
        with common.reported(as_json="--json" in self.argv):
            try:
                step(self)
            except ParseError as e:
                asked, tasks = self.args.help.value, self.parser.contexts
                if isinstance(asked, str) and asked not in tasks:
                    raise _mistake(f"there is no task {asked}", asked, tasks, see=_LIST) from e
                raise SpecError(str(e).rstrip("!"), hint=f"see: scripts/inv {_LIST}") from e

    return report
