# SPDX-License-Identifier: Apache-2.0
"""The modules of the project: their names, files and imports, for tests that hold rules of the code."""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from goldsmith.core.paths import project_root
from tests.support import syntax

ROOT = project_root()
PACKAGE = ROOT / "goldsmith"
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def name_of(path: Path) -> str:
    """goldsmith/core/proc.py is core.proc, goldsmith/core/__init__.py is core, tasks.py is tasks."""
    relative = path.relative_to(PACKAGE) if path.is_relative_to(PACKAGE) else path.relative_to(ROOT)
    return ".".join(part for part in relative.with_suffix("").parts if part != "__init__")


# of packages within a room; its suites are none
_INNER = [path for folder in PACKAGE.glob("*/*/__init__.py") for path in folder.parent.glob("*.py")]
PATHS = {
    name: path
    for path in [*PACKAGE.glob("*.py"), *PACKAGE.glob("*/*.py"), *_INNER, ROOT / "tasks.py"]
    if (name := name_of(path))
}
MODULES = sorted(PATHS)
OTHERS = sorted(path for path in (ROOT / "tests").rglob("*.py") if "golden" not in path.parts)


def imports(found: Iterable[ast.AST]) -> Iterator[str]:
    """Full names of all imports in a module, also of those for types only."""
    for node in found:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@functools.cache
def imported(module: str) -> frozenset[str]:
    """Full names of all imports of a module of goldsmith."""
    return frozenset(imports(syntax.nodes(PATHS[module], ast.Import, ast.ImportFrom)))


@functools.cache
def own_imports(module: str) -> frozenset[str]:
    """The modules of goldsmith that a module imports."""
    names = (name.removeprefix("goldsmith.") for name in imported(module) if name.startswith("goldsmith."))
    return frozenset(name if name in PATHS else name.rpartition(".")[0] for name in names)


def place_of(module: str) -> str:
    """The room of a module, or the module itself at the top level."""
    return module.partition(".")[0]


def nodes(*kinds: type[ast.AST]) -> Iterator[tuple[str, Any]]:
    """Modules of goldsmith with their nodes of these kinds."""
    return ((module, node) for module in MODULES for node in syntax.nodes(PATHS[module], *kinds))


def committed_files() -> list[Path]:
    """The files of this checkout that git tracks. Raises CalledProcessError outside a checkout."""
    argv = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "ls-files", "-z"]
    listed = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]
