# SPDX-License-Identifier: Apache-2.0
"""What tasks share: help texts, optional words, errors as exit codes, answers as JSON."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Annotated, Any, ClassVar, Protocol, cast

from invoke.exceptions import Exit
from invoke.parser.parser import ParseMachine

from goldsmith.core.documents import Document, about
from goldsmith.errors import GoldsmithError, SpecError
from goldsmith.spec.problem import Problem

INTERRUPTED = 130
DEFAULT_SPEC = "debian-kubelet"

NAME = f"a spec: NAME of image-specs/NAME.yaml.j2, or a path; default: {DEFAULT_SPEC}"
VAR = "NAME=VALUE, a variable of the spec; may be repeated"
OUT = "folder of builds; default: $GOLDSMITH_OUT, else out/"
BUILD = "ID of the build; default: the latest verified one"
JSON = "answer with JSON on standard output"


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorAnswer(Document):
    """The answer of every task with --json that failed before it had an answer of its own."""

    SCHEMA: ClassVar[str] = "goldsmith.error"

    code: Annotated[int, about("Exit code of the task.", ge=1)]
    message: Annotated[str, about("What failed, on what.")]
    hint: Annotated[str | None, about("What to do next; null where nothing is known.")]
    problems: Annotated[
        tuple[Problem, ...], about("Problems of a spec, lock, policy, recipe or procedure, one by one.")
    ] = ()


def make_optional(defaults: Mapping[str, str]) -> None:
    """Let tasks be called without the positional arguments named here.

    Invoke either takes an argument by position or has a default for it. So such an argument has no
    default in its task, and gets it here when the words of a task are at their end.
    """
    complete = ParseMachine.complete_context

    def fill_then_complete(self: ParseMachine) -> None:
        for argument in self.context.missing_positional_args if self.context else ():
            if argument.name is not None and argument.name in defaults:
                argument.set_value(defaults[argument.name])
        complete(self)

    ParseMachine.complete_context = fill_then_complete  # type: ignore[method-assign]


@contextlib.contextmanager
def reported(*, as_json: bool = False) -> Iterator[None]:
    """The single place where expected errors become a message and an exit code.

    A TERM signal interrupts like Ctrl-C, so that what was begun is undone.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except GoldsmithError as e:
        if as_json:
            problems = cast("tuple[Problem, ...]", e.problems)
            answer = ErrorAnswer(code=e.exit_code, message=str(e), hint=e.hint, problems=problems)
            print_json(answer.SCHEMA, answer.as_dict())
        hint = f"\nhint: {e.hint}" if e.hint else ""
        raise Exit(f"error: {e}{hint}", code=e.exit_code) from e
    except KeyboardInterrupt as e:
        raise Exit("interrupted", code=INTERRUPTED) from e


def print_json(schema: str, answer: Mapping[str, object], *, version: int = 1) -> None:
    """An answer for programs, on standard output; every one says its schema and version."""
    json.dump({"schema": schema, "version": version, **answer}, sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")


class Answer(Protocol):
    """A document that is the answer of a task."""

    SCHEMA: ClassVar[str]

    def as_dict(self) -> dict[str, Any]: ...

    def as_text(self) -> str: ...


def show(answer: Answer, *, as_json: bool) -> None:
    """Print the answer of a task on standard output, for a program or for a person."""
    if as_json:
        print_json(answer.SCHEMA, answer.as_dict())
    else:
        print(answer.as_text())


def print_document(answer: Document) -> None:
    """Print an answer for programs, on standard output."""
    print_json(answer.SCHEMA, answer.as_dict())


def variables(words: Sequence[str]) -> dict[str, str]:
    """['a=1', 'b=2'] -> {'a': '1', 'b': '2'}; raises SpecError for a word without =."""
    bad = [word for word in words if "=" not in word]
    if bad:
        raise SpecError(f"--var takes NAME=VALUE, got {bad[0]!r}")
    return dict(word.split("=", 1) for word in words)


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
