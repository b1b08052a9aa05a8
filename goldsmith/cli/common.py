# SPDX-License-Identifier: Apache-2.0
"""Shared by all tasks: help texts, exit codes of errors, answers as JSON."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, ClassVar, Protocol, TextIO, cast

from invoke.exceptions import Exit

from goldsmith.core import paths, progress
from goldsmith.core.documents import Document, about
from goldsmith.errors import GoldsmithError, HostError, SpecError
from goldsmith.spec.problem import Problem

BUG = 1
INTERRUPTED = 130
CUT_OFF = 141  # as shells show it for a program that SIGPIPE ended
DEFAULT_SPEC = "debian-kubelet"
_REFUSALS = frozenset(
    (errno.EACCES, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOSPC, errno.ENOTDIR, errno.EROFS)
)

NAME = f"the spec: NAME of image-specs/NAME.yaml.j2, or a path; default: {DEFAULT_SPEC}"
VAR = "NAME=VALUE, sets a variable of the spec; may be repeated"
OUT = "folder for builds; default: $GOLDSMITH_OUT, else out/"
BUILD = "ID of the build; default: the latest verified one"
WIDE = "all columns, however wide the table gets; default: what fits the terminal and 100 columns"
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
    retryable: Annotated[
        bool | None,
        about("Whether the same call may succeed later, with nothing changed; null where that is not known."),
    ] = None
    build: Annotated[str | None, about("ID of the build that failed; null if none had begun.")] = None
    folder: Annotated[Path | None, about("Its folder, with the logs.")] = None
    failed: Annotated[tuple[str, ...], about("Tests that failed: PHASE: TEST: MESSAGE.")] = ()

    @classmethod
    def of(cls, error: GoldsmithError) -> ErrorAnswer:
        """An expected error as a document."""
        return cls(
            code=error.exit_code, message=paths.as_typed(str(error)),
            hint=None if error.hint is None else paths.as_typed(error.hint),
            problems=cast("tuple[Problem, ...]", error.problems), retryable=error.retryable,
            build=None if error.build is None else error.build.name, folder=error.build,
            failed=error.failed,
        )  # fmt: skip


@contextlib.contextmanager
def reported(*, as_json: bool = False) -> Iterator[None]:
    """Turn expected errors into a message and an exit code; the only place that does.

    SIGTERM interrupts like Ctrl-C, so that clean-up code runs. A reader that leaves (`| head`) ends the task.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        output = cast("TextIO", _NamedOutput(sys.stdout))
        with _refused_by_the_host(), contextlib.redirect_stdout(output), _beside_progress(), _flushed():
            yield
    except GoldsmithError as e:
        answer = ErrorAnswer.of(e)
        _answer(answer, as_json=as_json)
        hint = f"\nhint: {answer.hint}" if answer.hint else ""
        raise Exit(f"error: {answer.message}{hint}", code=e.exit_code) from e
    except KeyboardInterrupt as e:
        _answer(ErrorAnswer(code=INTERRUPTED, message="interrupted", hint=None), as_json=as_json)
        raise Exit("interrupted", code=INTERRUPTED) from e
    except BrokenPipeError as e:
        if not _readers_left():
            raise
        raise Exit(code=CUT_OFF) from e
    except Exit:
        raise
    except Exception as e:  # a bug: Python shows its traceback
        _answer(ErrorAnswer(code=BUG, message=f"{type(e).__name__}: {e}", hint=None), as_json=as_json)
        raise


@contextlib.contextmanager
def _beside_progress() -> Iterator[None]:
    """What is printed does not mix with the rows of progress, which end with the task."""
    output = cast("TextIO", progress.Outside(sys.stdout))
    errors = cast("TextIO", progress.Outside(sys.stderr))
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            yield
        finally:
            progress.end()


@contextlib.contextmanager
def _refused_by_the_host() -> Iterator[None]:
    """Raise HostError where a file, a folder or standard output cannot be written or read."""
    try:
        yield
    except OSError as e:
        if e.errno not in _REFUSALS:
            raise
        if e.filename is None:
            raise HostError(f"this host refused to write or read: {e.strerror}", hint=_hint(e)) from e
        raise HostError(f"cannot use {e.filename}: {e.strerror}", hint="use another file or folder") from e


def _hint(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "free space; GOLDSMITH_SCRATCH, GOLDSMITH_CACHE and --out name other folders"
    return "look at the folders that GOLDSMITH_SCRATCH, GOLDSMITH_CACHE and --out name"


class _NamedOutput:
    """A stream whose errors name it, as those of other files do."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._named():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._named():
            self._stream.flush()

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            e.filename = "standard output"
            raise


@contextlib.contextmanager
def _flushed() -> Iterator[None]:
    """Write what was printed at once, while a reader that has left can still be noticed."""
    try:
        yield
    except (Exit, SystemExit):
        sys.stdout.flush()
        raise
    sys.stdout.flush()


def _answer(answer: ErrorAnswer, *, as_json: bool) -> None:
    if as_json:
        try:
            print_document(answer)
            sys.stdout.flush()
        except BrokenPipeError:
            _readers_left()


def _readers_left() -> bool:
    """Whether nobody reads standard output or error any more; what is printed there is then discarded."""
    left = False
    for stream in (sys.stdout, sys.stderr):
        try:
            descriptor = stream.fileno()
        except (OSError, ValueError):  # a test's
            continue
        poll = select.poll()
        poll.register(descriptor, 0)
        if any(event & select.POLLERR for _, event in poll.poll(0)):
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), descriptor)
            left = True
    return left


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
