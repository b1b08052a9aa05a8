# SPDX-License-Identifier: Apache-2.0
"""The syntax of the project's own modules, for tests that hold its rules: a process parses each file once.

Such tests carry the mark ONE_PROCESS.
"""

from __future__ import annotations

import ast
import functools
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goldsmith.core.paths import project_root

ONE_PROCESS = pytest.mark.xdist_group("syntax")

# A node keeps all below it in memory, where the garbage collector looks at it again and again. So of
# files outside the package only these are kept.
_OF_OTHERS = (ast.Import, ast.ImportFrom, ast.Constant, ast.List, ast.Tuple)


def nodes(path: Path, *kinds: type[ast.AST]) -> Iterator[Any]:
    """All nodes of these kinds; of a file outside the package there are imports, literals and lists alone."""
    found = _nodes(path)
    if not _is_product(path) and not set(kinds) <= set(_OF_OTHERS):
        raise ValueError(f"{path} is outside the package: {kinds} are not kept")
    return itertools.chain.from_iterable(found.get(kind, ()) for kind in kinds)


def body(path: Path) -> list[ast.stmt]:
    """What stands at the top level of a module of the package."""
    (module,) = nodes(path, ast.Module)
    found: list[ast.stmt] = module.body
    return found


def dotted(node: ast.AST) -> str:
    """`os.environ.get` for an expression that is such a name, else nothing; ast.unparse() is slow."""
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return before and f"{before}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


@functools.cache
def _nodes(path: Path) -> dict[type[ast.AST], list[ast.AST]]:
    found: dict[type[ast.AST], list[ast.AST]] = {}
    whole = _is_product(path)
    left: list[ast.AST] = [ast.parse(path.read_text())]
    while left:
        node = left.pop()
        if whole or isinstance(node, _OF_OTHERS):
            found.setdefault(type(node), []).append(node)
        for value in vars(node).values():
            if isinstance(value, ast.AST):
                left.append(value)
            elif isinstance(value, list):
                left += [each for each in value if isinstance(each, ast.AST)]
    return found


def _is_product(path: Path) -> bool:
    return path.is_relative_to(project_root() / "goldsmith") or path == project_root() / "tasks.py"
