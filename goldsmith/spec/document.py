# SPDX-License-Identifier: Apache-2.0
"""Read YAML with the line of each key and the source text of each scalar; reject duplicate keys."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import yaml

from goldsmith.spec.problem import Problem

T = TypeVar("T")
KeyPath = tuple[str | int, ...]
Origin = Callable[[int], tuple[str, int]]  # a line of the text -> the file and line it was written in

MAX_NODES = 50_000  # limit for aliases that expand to ever more nodes

_IN_C = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(kw_only=True, slots=True)
class YamlDocument:
    """Plain data, with the line of every key and item and the source text of every scalar."""

    origin: Origin
    data: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    raw: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    broken: bool = False  # no YAML: data is meaningless

    def problem(self, path: KeyPath, message: str, hint: str | None = None) -> Problem:
        """A problem with the key at path; its line is that of the key, or of the nearest one above it."""
        key = dotted(path) or None
        while path and path not in self.lines:
            path = path[:-1]
        file, line = self.origin(self.lines.get(path, 1))
        return Problem(file=file, line=line, key=key, message=message, hint=hint)

    def get(self, kind: type[T], *path: str) -> T:
        """The value at a path if it exists and is of that kind, else an empty one."""
        value = self.data
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value if isinstance(value, kind) else kind()


def dotted(path: KeyPath) -> str:
    """('verify', 'pods', 0) -> 'verify.pods[0]'."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def parse_document(text: str, origin: Origin, *, in_c: bool = False) -> YamlDocument:
    """Read one YAML document. Raises nothing: the document lists its problems.

    in_c: use libyaml if installed, for long documents that programs write; its syntax errors say less.
    """
    document = YamlDocument(origin=origin)
    try:
        root = yaml.compose(text, Loader=_IN_C if in_c else yaml.SafeLoader)
        if root is not None:
            document.data = _Reader(document).read(root, ())
    except yaml.MarkedYAMLError as e:
        document.broken = True
        mark = e.problem_mark or e.context_mark
        file, line = origin(1 if mark is None else mark.line + 1)
        message = ", ".join(part for part in (e.context, e.problem) if part)
        document.problems.append(Problem(file=file, line=line, message=f"not valid YAML: {message}"))
    except RecursionError:
        document.broken = True
        file, line = origin(1)
        document.problems.append(Problem(file=file, line=line, message="not valid YAML: nested too deeply"))
    except yaml.reader.ReaderError as e:
        document.broken = True
        line = text.count("\n", 0, e.position) + 1
        file, line = origin(line)
        code = e.character if isinstance(e.character, int) else ord(str(e.character))
        message = f"not valid YAML: the character U+{code:04X} is not allowed"
        document.problems.append(Problem(file=file, line=line, message=message))
    return document


class _Reader:
    """Turns the nodes of a document into plain data."""

    def __init__(self, document: YamlDocument) -> None:
        self._document = document
        self._constructor = yaml.constructor.SafeConstructor()
        self._open: list[yaml.Node] = []
        self._count = 0

    def read(self, node: yaml.Node, path: KeyPath) -> Any:  # noqa: ANN401 - YAML holds anything
        self._count += 1
        self._document.lines.setdefault(path, node.start_mark.line + 1)
        if any(node is outer for outer in self._open) or self._count > MAX_NODES:
            raise yaml.constructor.ConstructorError(
                None, None, "an alias refers to itself, or expands to too many nodes", node.start_mark
            )
        self._open.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return dict(self._entries(node, path))
            if isinstance(node, yaml.SequenceNode):
                return [self.read(child, (*path, index)) for index, child in enumerate(node.value)]
            return self._scalar(node, path)
        finally:
            self._open.pop()

    def _entries(self, node: yaml.MappingNode, path: KeyPath) -> Iterator[tuple[Any, Any]]:
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = self._key(key_node, path)
            where = (*path, key)
            if key in seen:
                file, first = self._document.origin(seen[key])
                self._at(where, line, f"duplicate key '{key}'", f"first in {file}:{first}")
                continue
            seen[key] = line
            self._document.lines[where] = line
            yield key, self.read(value_node, where)

    def _key(self, node: yaml.Node, owner: KeyPath) -> str:
        line = node.start_mark.line + 1
        path = (*owner, str(node.value)) if isinstance(node, yaml.ScalarNode) else owner
        if node.tag == "tag:yaml.org,2002:merge":
            self._at(
                path, line, "merge keys (<<) are not supported", "write the keys out, or include a partial"
            )
            return str(node.value)
        key = self._constructor.construct_object(node) if isinstance(node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            shown = node.value if isinstance(node, yaml.ScalarNode) else "a list or mapping"
            self._at(path, line, f"a key must be text, got {shown}", f'quote it: "{shown}":')
        return str(node.value)

    def _scalar(self, node: yaml.Node, path: KeyPath) -> Hashable:
        self._document.raw[path] = str(node.value)
        try:
            value: Hashable = self._constructor.construct_object(node)
        except ValueError:  # 2026-13-45 looks like a date
            message = f"'{node.value}' looks like a date or number but is neither"
            self._at(path, node.start_mark.line + 1, message, f'quote it: "{node.value}"')
            return str(node.value)
        return value

    def _at(self, path: KeyPath, line: int, message: str, hint: str | None) -> None:
        file, origin_line = self._document.origin(line)
        self._document.problems.append(
            Problem(file=file, line=origin_line, key=dotted(path) or None, message=message, hint=hint)
        )
