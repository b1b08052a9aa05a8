# SPDX-License-Identifier: Apache-2.0
"""Shared by all tasks: help texts, optional arguments, exit codes of errors, answers as JSON."""

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

NAME = f"the spec: NAME of image-specs/NAME.yaml.j2, or a path; default: {DEFAULT_SPEC}"
VAR = "NAME=VALUE, sets a variable of the spec; may be repeated"
OUT = "folder for builds; default: $GOLDSMITH_OUT, else out/"
BUILD = "ID of the build; default: the latest verified one"
JSON = "print the answer as JSON on standard output"


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorAnswer(Document):
    """The answer of a task with --json that failed."""

    SCHEMA: ClassVar[str] = "goldsmith.error"

    code: Annotated[int, about("Exit code of the task.", ge=1)]
    message: Annotated[str, about("What failed, on what.")]
    hint: Annotated[str | None, about("What to do next; null without a hint.")]
    problems: Annotated[
        tuple[Problem, ...], about("Problems of a spec, lock, policy, recipe or procedure, one by one.")
    ] = ()


def make_optional(defaults: Mapping[str, str]) -> None:
    """Make positional arguments optional. defaults: name of the argument -> its default.

    Invoke allows an argument to be positional or to have a default, but not both. So a task declares no
    default, and Invoke's parser gets it here, when it has read all words of the task.
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
    """Turn expected errors into a message and an exit code; the only place that does.

    SIGTERM interrupts like Ctrl-C, so that clean-up code runs.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except GoldsmithError as e:
        if as_json:
            problems = cast("tuple[Problem, ...]", e.problems)
            answer = ErrorAnswer(code=e.exit_code, message=str(e), hint=e.hint, problems=problems)
            print_document(answer)
        hint = f"\nhint: {e.hint}" if e.hint else ""
        raise Exit(f"error: {e}{hint}", code=e.exit_code) from e
    except KeyboardInterrupt as e:
        raise Exit("interrupted", code=INTERRUPTED) from e


class JsonDocument(Protocol):
    """A document, such as the classes of core/documents."""

    def as_dict(self) -> dict[str, Any]: ...


class Answer(JsonDocument, Protocol):
    """A document that can also be shown to people."""

    def as_text(self) -> str: ...


def show(answer: Answer, *, as_json: bool) -> None:
    """Print the answer of a task on standard output, as JSON or as text."""
    if as_json:
        print_document(answer)
    else:
        print(answer.as_text())


def print_document(answer: JsonDocument) -> None:
    """Print the answer of a task on standard output, as JSON with schema and version."""
    json.dump(answer.as_dict(), sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")


def variables(words: Sequence[str]) -> dict[str, str]:
    """['a=1', 'b=2'] -> {'a': '1', 'b': '2'}; raises SpecError for a word without =."""
    bad = [word for word in words if "=" not in word]
    if bad:
        raise SpecError(f"--var takes NAME=VALUE, got {bad[0]!r}", hint="write it as --var NAME=VALUE")
    return dict(word.split("=", 1) for word in words)


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
