# SPDX-License-Identifier: Apache-2.0
"""Load image-specs/NAME.yaml.j2 as an ImageSpec, or report all problems at once with file and line.

NAME is a file of image-specs/, or the path of a file NAME.yaml.j2 elsewhere. Partials, variables/ and
elements/ may lie beside such a file. Folders and files that it names are looked for beside it first, then
beside the folder image-specs/ that it is in, in the project, and among the files that come with goldsmith.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any

from goldsmith.core import paths
from goldsmith.errors import SpecError
from goldsmith.spec import checks, fields, schema, template
from goldsmith.spec.document import KeyPath, YamlDocument, parse_document
from goldsmith.spec.model import ImageSpec
from goldsmith.spec.problem import Problem

SUFFIX = ".yaml.j2"
_SPECS = "image-specs"
_NONE: Mapping[str, str] = MappingProxyType({})
_NO_DOCUMENT = YamlDocument(origin=lambda line: ("spec", line))


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedSpec:
    """A spec without problems, the YAML that it was read from, and its file."""

    spec: ImageSpec
    rendered: str
    path: Path
    sha256: str  # of the rendered text
    elements: tuple[Path, ...]  # folders of elements besides diskimage-builder's; the first one wins
    # for problems that only a later look at the host or at a mirror shows, with the line of their key
    document: YamlDocument = field(default_factory=lambda: _NO_DOCUMENT, repr=False, compare=False)


def names(*, root: Path | None = None) -> list[str]:
    """The specs of every image-specs/, sorted. root: the only folder to look in, by default all."""
    found = {path.name for each in _roots(root) for path in (each / _SPECS).glob(f"*{SUFFIX}")}
    return sorted(name.removesuffix(SUFFIX) for name in found)


def name_of(given: str) -> str:
    """The name of a spec that is given by its name or its path. Raises SpecError for a path without one."""
    return load(given).spec.name if given.endswith(SUFFIX) else given


def render(name: str, variables: Mapping[str, str] = _NONE, *, root: Path | None = None) -> str:
    """The YAML of a spec. Raises SpecError for a wrong template or variable."""
    location = _Location(name, _roots(root))
    problems, rendered = _rendered(location, variables)
    require_none(problems)
    assert rendered.text is not None
    return rendered.text


def load(name: str, variables: Mapping[str, str] = _NONE, *, root: Path | None = None) -> LoadedSpec:
    """Render, read and check a spec. Raises SpecError with every problem, one a line."""
    location = _Location(name, _roots(root))
    problems, rendered = _rendered(location, variables)
    document = parse_document(rendered.text or "", rendered.origin)
    if not document.broken or not problems:  # a missing variable may be all that is wrong with the YAML
        problems += document.problems
    if rendered.text is not None and not document.broken:
        problems += _checked(document, location)
    require_none(problems)
    assert rendered.text is not None
    return LoadedSpec(
        spec=fields.build(document.data, location.named),
        rendered=rendered.text,
        path=location.path,
        sha256=hashlib.sha256(rendered.text.encode()).hexdigest(),
        elements=location.elements(),
        document=document,
    )


def require_none(problems: list[Problem]) -> None:
    """Raise SpecError with every problem, one a line, if there is any."""
    if problems:
        ordered = sorted(dict.fromkeys(problems), key=lambda problem: (problem.file, problem.line))
        lines = dict.fromkeys(map(str, ordered))  # two keys of one line may have the same problem
        raise SpecError("\n".join(lines), hint="every key: docs/spec-reference.md", problems=ordered)


def _roots(given: Path | None) -> tuple[Path, ...]:
    return paths.roots_of_specs() if given is None else (given,)


class _Location:
    """Path of a spec and the files around it. Raises SpecError if there is no such spec.

    roots: folders with image-specs/ and what specs name; the first one has the user's own.
    """

    def __init__(self, name: str, roots: tuple[Path, ...]) -> None:
        self.roots = roots
        own = "/" in name or name.endswith(SUFFIX)
        if own and not name.endswith(SUFFIX):
            raise SpecError(
                f"{name} is no spec: the name of its file must end in {SUFFIX}",
                hint="rename it to NAME.yaml.j2",
            )
        files = [Path(name).absolute()] if own else [root / _SPECS / f"{name}{SUFFIX}" for root in roots]
        self.path = next((path for path in files if self._is_there(path)), files[0])
        if not self._is_there(self.path):
            raise self._no_spec(name, files)
        self.beside = self.path.parent

    def _is_there(self, path: Path) -> bool:
        try:
            return path.is_file()
        except OSError as e:  # no access to one of its folders
            raise SpecError(f"cannot read {self.shown(path)}: {e.strerror}") from e

    def _no_spec(self, name: str, files: Sequence[Path]) -> SpecError:
        known = sorted({each for root in self.roots for each in names(root=root)})
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known) or 'none'}"
        places = " nor ".join(map(self.shown, files))
        return SpecError(f"no spec '{name}': there is no file {places}", hint=hint)

    @property
    def bases(self) -> tuple[Path, ...]:
        """Where folders and files that the spec names may lie, the first one first."""
        if any(self.beside.resolve() == (root / _SPECS).resolve() for root in self.roots):
            return self.roots
        above = (self.beside.parent,) if self.beside.name == _SPECS else ()
        return tuple(dict.fromkeys((self.beside, *above, *self.roots)))

    @property
    def folders(self) -> tuple[Path, ...]:
        """Folders of templates: beside the spec, then of the user's own, then those that are shipped."""
        return tuple(dict.fromkeys((self.beside, *(root / _SPECS for root in self.roots))))

    def elements(self) -> tuple[Path, ...]:
        found = [base / "elements" for base in self.bases]
        return (*(path for path in found[:-1] if path.is_dir()), found[-1])

    def variable_files(self) -> Iterator[Path]:
        """From the most general one to the most specific one, which wins."""
        name = self.path.name.removesuffix(SUFFIX)
        candidates = [folder / "variables" / "common.yaml" for folder in reversed(self.folders)]
        candidates.append(self.beside / "variables" / f"{name}.yaml")
        return (path for path in candidates if path.is_file())

    def find(self, folder: str) -> Path | None:
        """A folder or file that the spec names: in one of bases, or in the current folder."""
        places = (*self.bases, Path.cwd())
        return next((base / folder for base in places if (base / folder).exists()), None)

    def named(self, folder: str) -> Path | str:
        """The folder as the spec writes it if that is relative to the project, else absolute."""
        found = self.find(folder)
        return folder if found is None or found == self.roots[0] / folder else found

    def shown(self, path: Path) -> str:
        """A file as messages name it: relative to the project or the current folder, if it lies there."""
        for base in (self.roots[0], Path.cwd()):
            if path.is_relative_to(base):
                return str(path.relative_to(base))
        return str(path)


def _rendered(location: _Location, given: Mapping[str, str]) -> tuple[list[Problem], template.Rendered]:
    problems: list[Problem] = []
    variables: dict[str, Any] = {}
    for path in location.variable_files():
        found, values = _variables(path, location.shown(path))
        problems += found
        variables.update(values)
    known = {*variables, *template.used_variables(location.path, location.folders)}
    for name in sorted(set(given) - known):
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else None
        message = f"no template uses the given variable '{name}'"
        problems.append(Problem(file=location.shown(location.path), line=0, message=message, hint=hint))
    rendered = template.render(
        location.path, location.folders, {**variables, **given}, location.shown,
        elsewhere=f"variables/{location.path.name.partition('.')[0]}.yaml beside the spec",
    )  # fmt: skip
    return [*problems, *rendered.problems], rendered


def _variables(path: Path, shown: str) -> tuple[list[Problem], dict[str, Any]]:
    """A variable file: names with text, or with lists and mappings of text, because --var gives text too."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return [Problem(file=shown, line=0, message="is not UTF-8 text")], {}
    document = parse_document(text, lambda line: (shown, line))
    if document.problems:
        return document.problems, document.data if isinstance(document.data, dict) else {}
    if not isinstance(document.data, dict):
        wrong = document.data is not None
        return [document.problem((), "must be a mapping of variables to text")] if wrong else [], {}
    return list(_no_text(document, document.data, ())), document.data


def _no_text(document: YamlDocument, value: object, path: KeyPath) -> Iterator[Problem]:
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _no_text(document, child, (*path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _no_text(document, child, (*path, index))
    elif not isinstance(value, str):
        yield schema.wrong_type(document, path, value, "text")


def _checked(document: YamlDocument, location: _Location) -> list[Problem]:
    surroundings = checks.Surroundings(elements=location.elements(), bases=location.bases)
    found = [*schema.check(document), *checks.check(document, surroundings)]
    return [problem for problem in found if template.PLACEHOLDER not in problem.message]
