# SPDX-License-Identifier: Apache-2.0
"""Names of modules: none is changed on import, and a string that names a module names one that exists."""

from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path

import pytest

from tests.support import syntax
from tests.support.modules import MODULES, OTHERS, PACKAGE, PATHS, ROOMS, ROOT, committed_files, imports

pytestmark = syntax.ONE_PROCESS

MODULE_NAME = re.compile(rf"\b(?:goldsmith\.(?:{'|'.join(ROOMS)})|tests)(?:\.[a-z_]\w*)+(?![\w-]|\.[a-z])")


def test_no_module_is_renamed_on_import() -> None:
    modules = {f"goldsmith.{name}" for name in MODULES} | {
        ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in OTHERS
    }
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {alias.name} as {alias.asname}"
        for path in [*PATHS.values(), *OTHERS]
        for node in syntax.nodes(path, ast.Import, ast.ImportFrom)
        for alias in node.names
        if alias.asname and f"{getattr(node, 'module', '') or ''}.{alias.name}".strip(".") in modules
    ]

    assert not wrong


def test_strings_that_name_a_module_name_one_that_exists() -> None:
    """Such as `-m goldsmith.core.reaper`, an entry point, the target of a patch."""
    sources = [
        (path, str(node.value), node.lineno)
        for path in [*PATHS.values(), *OTHERS, *(PACKAGE / "verify/suites").rglob("*.py")]
        for node in syntax.nodes(path, ast.Constant)
        if isinstance(node.value, str)
    ]
    texts = [ROOT / "pyproject.toml", PACKAGE / "verify/suites/pytest.ini", *ROOT.glob("*.md")]
    texts += [*(ROOT / "docs").rglob("*.md"), *(ROOT / "scripts").rglob("*")]
    sources += [(path, path.read_text(), 0) for path in texts if path.is_file()]
    found = [(path, line, name) for path, text, line in sources for name in MODULE_NAME.findall(text)]
    assert len(found) > 10

    assert not [
        f"{path.relative_to(ROOT)}:{line}: {name}" for path, line, name in found if not _is_there(name)
    ]


def test_programs_are_started_by_the_name_of_a_module_that_exists() -> None:
    """Names after "-m" in a command line; elsewhere `goldsmith.NAME` may be a schema."""
    started = [
        (path, node.lineno, str(module.value))
        for path in [*PATHS.values(), *OTHERS]
        for node in syntax.nodes(path, ast.List, ast.Tuple)
        for flag, module in itertools.pairwise(node.elts)
        if isinstance(flag, ast.Constant) and flag.value == "-m"
        and isinstance(module, ast.Constant) and str(module.value).startswith(("goldsmith", "tests"))
    ]  # fmt: skip
    assert len(started) > 5

    assert not [
        f"{path.relative_to(ROOT)}:{line}: {name}" for path, line, name in started if not _is_there(name)
    ]


def _is_there(name: str) -> bool:
    """Whether it is a module, or a name in one."""
    for module in (name, name.rpartition(".")[0]):
        folder = ROOT / Path(*module.split("."))
        if folder.with_suffix(".py").is_file() or (module == name and (folder / "__init__.py").is_file()):
            return True
    return False


@pytest.mark.programs("git")
def test_scripts_without_a_suffix_import_modules_that_exist() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: there is nothing to ask for the list of files")
    scripts = [path for path in committed_files() if not path.suffix and _is_python(path)]
    found = [
        (path, name)
        for path in scripts
        for name in imports(syntax.nodes(path, ast.Import, ast.ImportFrom))
        if "goldsmith." in name
    ]
    assert found

    assert not [f"{path.relative_to(ROOT)}: {name}" for path, name in found if not _is_there(name)]


def _is_python(script: Path) -> bool:
    with script.open("rb") as source:
        head = source.readline(99)
    return head.startswith(b"#!") and b"python" in head


def test_the_search_for_names_of_modules_finds_them() -> None:
    assert MODULE_NAME.findall('"-m", "goldsmith.core.reaper", x') == ["goldsmith.core.reaper"]
    assert _is_there("goldsmith.core.reaper")
    assert _is_there("goldsmith.core.proc.run")
    assert not _is_there("goldsmith.core." + "reap")
