# SPDX-License-Identifier: Apache-2.0
"""Jinja2 for specs: every variable must be set, and every rendered line has a file and line of origin.

A first rendering gives the text. A second one, with a mark before each newline of the templates' own text,
gives the map of lines. If the two differ in more than the marks, there is no map, and problems name the line
of the rendered text instead.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import FrameType
from typing import Any

from jinja2 import (
    ChoiceLoader,
    FileSystemLoader,
    StrictUndefined,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
    meta,
)
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream
from jinja2.sandbox import SandboxedEnvironment
from jinja2.utils import missing as jinja_missing

from goldsmith.spec.document import Origin
from goldsmith.spec.problem import Problem

# Replaces the value of a missing variable, so that the rest of the spec can still be checked; problems that
# mention it are dropped. Private-use characters are legal in YAML.
PLACEHOLDER = "\ue001"
_MARK = "\ue000"
_MARKED = re.compile(f"{_MARK}([0-9]+):([0-9]+){_MARK}")

# Errors that a template can raise: Jinja's own, and those of the expressions in it.
_RUNTIME_ERRORS = (
    TemplateError, ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    text: str | None  # None: it could not be rendered; problems have the reason
    origin: Origin
    problems: tuple[Problem, ...]


def render(
    template: Path,
    folders: Iterable[Path],
    variables: Mapping[str, Any],
    shown: Callable[[Path], str],
    *,
    elsewhere: str = "",
) -> Rendered:
    """Render a template that may include others from folders; shown() names a file in messages.

    elsewhere: where variables can be set besides the command line.
    """
    job = _Job(template, tuple(folders), variables, shown, elsewhere)
    text = job.render(marked=False)
    if text is None:
        return Rendered(text=None, origin=lambda line: (shown(template), line), problems=tuple(job.problems))
    problems = tuple(job.problems)
    return Rendered(text=text, origin=job.origin(text), problems=problems)


def used_variables(template: Path, folders: Iterable[Path]) -> frozenset[str]:
    """Names that a template, and the templates it may include, look up."""
    environment = _environment(folders, StrictUndefined)
    names: set[str] = set()
    todo, done = [template.name], set[str]()
    while todo:
        name = todo.pop()
        done.add(name)
        try:
            assert environment.loader is not None
            tree = environment.parse(environment.loader.get_source(environment, name)[0])
            names |= meta.find_undeclared_variables(tree)
        except (TemplateError, ValueError):
            continue  # render() reports it
        todo += [other for other in meta.find_referenced_templates(tree) if other and other not in done]
    return frozenset(names)


class _Job:
    """A template, its problems, and the files that were rendered."""

    def __init__(
        self,
        template: Path,
        folders: tuple[Path, ...],
        variables: Mapping[str, Any],
        shown: Callable[[Path], str],
        elsewhere: str,
    ) -> None:
        self._template = template
        self._elsewhere = elsewhere
        self._folders = folders
        self._variables = variables
        self._shown = shown
        self._files: list[str] = []
        self.problems: list[Problem] = []

    def render(self, *, marked: bool) -> str | None:
        environment = _environment(
            self._folders, type("Missing", (_Missing,), {"report": staticmethod(self._missing)})
        )
        if marked:
            environment.add_extension(_marking(self._files))
        try:
            return environment.get_template(self._template.name).render(self._variables)
        except _RUNTIME_ERRORS as e:
            self.problems.append(self._failed(e))
            return None

    def origin(self, text: str) -> Origin:
        """The origin of each line of the rendered text."""
        kept, self.problems = self.problems, []  # the second rendering finds the same problems
        marked = self.render(marked=True)
        self.problems = kept
        if marked is None or _MARKED.sub("", marked) != text:
            return lambda line: (f"{self._shown(self._template)} (as rendered)", line)
        places = _places(marked)

        def origin(line: int) -> tuple[str, int]:
            file, number = places[min(line, len(places)) - 1]
            return self._shown(Path(self._files[file])) if self._files else "", number

        return origin

    def _missing(self, what: str, name: str | None, why: str | None) -> None:
        frame = _template_frame()
        if frame is None:
            return  # Jinja folds constants while it compiles; run time reports the same problem
        template = frame.f_globals["__jinja_template__"]
        file, line = self._shown(Path(template.filename)), template.get_corresponding_lineno(frame.f_lineno)
        hint = why
        if hint is None and name is not None:
            close = get_close_matches(name, self._variables, n=1)
            hint = f"did you mean '{close[0]}'? else " if close else ""
            hint += f"give it: --var {name}=VALUE"
            hint += f", or set it in {self._elsewhere}" if self._elsewhere else ""
        problem = Problem(file=file, line=line, message=what, hint=hint)
        if problem not in self.problems:
            self.problems.append(problem)

    def _failed(self, error: Exception) -> Problem:
        if isinstance(error, TemplateSyntaxError):
            file = Path(error.filename) if error.filename else self._template
            message = f"not a valid template: {error.message}"
            return Problem(file=self._shown(file), line=error.lineno, message=message)
        if isinstance(error, UnicodeDecodeError):
            return Problem(file=self._shown(self._template), line=0, message="is not UTF-8 text")
        file, line = self._template, 0
        trace = error.__traceback__
        while trace is not None:  # Jinja puts the template's own file and line into the traceback
            if "__jinja_exception__" in trace.tb_frame.f_globals:
                file, line = Path(trace.tb_frame.f_code.co_filename), trace.tb_lineno
            trace = trace.tb_next
        message = f"{type(error).__name__}: {error}"
        if isinstance(error, TemplateNotFound):
            message = f"no template '{error}' beside the spec or in image-specs/"
        elif isinstance(error, RecursionError):
            message = "templates include each other without end"
        elif isinstance(error, TemplateError):
            message = f"cannot be rendered: {error}"
        return Problem(file=self._shown(file), line=line, message=message)


def _environment(folders: Iterable[Path], undefined: type[StrictUndefined]) -> SandboxedEnvironment:
    environment = SandboxedEnvironment(
        loader=ChoiceLoader([FileSystemLoader(folder) for folder in folders]),
        undefined=undefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # YAML, not HTML
    )
    environment.filters["required"] = _required
    return environment


def _places(marked: str) -> list[tuple[int, int]]:
    """(file, line) of each line. A line without a mark is part of a value: the next mark has its origin."""
    places: list[tuple[int, int]] = []
    last = (0, 1)
    waiting = 0
    for line in marked.split("\n"):
        waiting += 1
        if match := _MARKED.search(line):
            last = (int(match[1]), int(match[2]))
            places += [last] * waiting
            waiting = 0
    after = marked.rpartition("\n")[2] and places  # text that no newline ends
    end = (last[0], last[1] + 1) if after else last
    return places + [end] * waiting


def _marking(files: list[str]) -> type[Extension]:
    class Marking(Extension):
        """Puts a mark before each newline of template text."""

        def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
            file = str(stream.filename)
            if file not in files:
                files.append(file)
            index = files.index(file)
            for token in stream:
                if token.type != "data":
                    yield token
                    continue
                first, *rest = token.value.split("\n")
                pieces = [first]
                for offset, piece in enumerate(rest):
                    pieces.append(f"{_MARK}{index}:{token.lineno + offset}{_MARK}\n{piece}")
                yield Token(token.lineno, "data", "".join(pieces))

    return Marking


class _Missing(StrictUndefined):
    """As strict as its parent, but reports every use instead of failing at the first one."""

    @staticmethod
    def report(message: str, variable: str | None, why: str | None) -> None:
        raise NotImplementedError  # each rendering has a class with its own

    def note(self, why: str | None = None) -> None:
        if self._undefined_obj is jinja_missing and self._undefined_name is not None:
            self.report(f"variable '{self._undefined_name}' is not set", self._undefined_name, why)
        else:
            self.report(self._undefined_message, None, why)

    def _text(self) -> str:
        self.note()
        return PLACEHOLDER

    def _itself(self, *_: object, **__: object) -> Any:  # noqa: ANN401 - stands for a value of any type
        self.note()
        return self

    def _no(self, _: object = None) -> bool:
        self.note()
        return False

    def _nothing(self) -> Iterator[Any]:
        self.note()
        return iter(())

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as above
        if name.startswith("__"):
            raise AttributeError(name)
        return self._itself()

    __str__ = _text  # type: ignore[assignment]
    __iter__ = _nothing  # type: ignore[assignment]
    __eq__ = __bool__ = _no  # type: ignore[assignment]
    __call__ = __getitem__ = _itself
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __mod__ = __rmod__ = _itself
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __neg__ = __pos__ = _itself


def _required(value: object, why: str) -> object:
    """The filter {{ name | required("where to find the value") }}: its text becomes the hint."""
    if isinstance(value, _Missing):
        value.note(why)
        return PLACEHOLDER
    return value


def _template_frame() -> FrameType | None:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and "__jinja_template__" not in frame.f_globals:
        frame = frame.f_back
    return frame
