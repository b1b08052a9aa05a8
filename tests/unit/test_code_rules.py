# SPDX-License-Identifier: Apache-2.0
"""Rules of the code that no linter checks: what belongs into one module only, who ends the program, sizes."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

from goldsmith.cli import reference
from tests.support import installed, syntax
from tests.support.modules import MODULES, PACKAGE, PATHS, ROOMS, ROOT, nodes, place_of
from tests.support.syntax import dotted

pytestmark = syntax.ONE_PROCESS

LONGEST_MODULE, LONGEST_FUNCTION = 400, 40
MOST_MODULES_OF_A_ROOM, MOST_FOLDERS, MOST_FILES = 18, 18, 4
LONG_FUNCTIONS: dict[str, str] = {}  # with the reason


def test_only_proc_starts_programs() -> None:
    starters = re.compile(r"(system|popen|exec[lv]\w*|(posix_)?spawn\w*|fork\w*)")
    found = [
        f"{module}:{node.lineno}"
        for module, node in nodes(ast.Attribute)
        if module != "core.proc" and dotted(node.value) == "os" and starters.fullmatch(node.attr)
    ]

    assert not found


def test_no_module_changes_the_environment_of_this_process() -> None:
    """Code that reads it would depend on earlier calls. Pass a value instead."""
    changed = {
        f"{module}:{node.lineno}"
        for module, node in nodes(ast.Subscript)
        if dotted(node.value) == "os.environ" and not isinstance(node.ctx, ast.Load)
    }
    calls = re.compile(r"os\.(environ\.(pop|update|setdefault|clear|popitem)|putenv|unsetenv)")
    changed |= {
        f"{module}:{node.lineno}" for module, node in nodes(ast.Call) if calls.fullmatch(dotted(node.func))
    }

    assert not changed


def constants(module: str) -> Iterator[tuple[str, object]]:
    """Names and literal values of a module's constants; tuples are unpacked."""
    for node in syntax.body(PATHS[module]):
        if isinstance(node, ast.Assign):
            (target,) = node.targets
            both = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
            pairs = zip(target.elts, node.value.elts, strict=True) if both else [(target, node.value)]  # type: ignore[attr-defined]
            for name, value in pairs:
                with contextlib.suppress(ValueError):
                    yield ast.unparse(name), ast.literal_eval(value)


def test_a_path_or_a_table_is_a_constant_of_one_module_only() -> None:
    """Of two copies, somebody changes only one."""
    found: dict[str, set[str]] = {}
    for module in MODULES:
        for name, value in constants(module):
            is_path = isinstance(value, str) and re.fullmatch(r"/?[\w.-]+(/[\w.-]+){2,}", value)
            if is_path or (isinstance(value, dict) and len(value) > 1):
                found.setdefault(repr(value).replace("'/", "'"), set()).add(f"{module}.{name}")

    assert len(found) > 20
    assert [places for places in found.values() if len(places) > 1] == []


def test_every_shipped_file_that_a_module_names_is_in_a_wheel() -> None:
    named = {
        str(node.args[0].value)
        for _, node in nodes(ast.Call)
        if dotted(node.func) == "paths.shipped" and node.args and isinstance(node.args[0], ast.Constant)
    }
    there = installed.in_the_wheel()
    assert len(named) > 4

    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
    assert [name for name in sorted(named) if not there & {name, *map(str, Path(name).parents)}] == []


def test_the_folder_of_the_users_files_is_asked_for_in_a_few_modules() -> None:
    """It is the current folder where goldsmith is installed; what comes with goldsmith is paths.shipped()."""
    users = {
        module
        for module, node in nodes(ast.Attribute)
        if dotted(node) == "paths.project_root" and module not in {"spec.reference", "cli.reference"}
    }

    assert users == {
        "build.values", "cli.development", "containers.build_context", "containers.policy",
        "image.base_image", "image.build_info", "kubernetes.pin", "pipeline",
        "provenance.lock_transfer", "provenance.spec_lock", "publish.signature_policy",
        "scan.vulnerabilities", "spec.site",
    }  # fmt: skip


def test_only_one_module_has_the_name_of_the_latest_build() -> None:
    inside_a_config_drive = {"verify.config_drive"}

    users = {module for module, node in nodes(ast.Constant) if node.value == "latest"}

    assert users - inside_a_config_drive == {"core.build_folders"}


def is_edge(module: str) -> bool:
    """Whether the module may turn errors into exit codes."""
    return place_of(module) in {"tasks", "cli"}


def test_no_document_is_indexed_by_the_names_of_its_keys() -> None:
    """Its class has attributes. Formats of others may be indexed: names with an underscore are ours."""
    keys = {
        field.name
        for kind in reference.kinds()
        for part in (kind, *parts_of(kind))
        for field in dataclasses.fields(part)
        if "_" in field.name
    }
    assert keys >= {"image_sha256", "build_id", "min_disk_gib", "stages_s", "virtual_size"}
    found = [
        f"{module}:{node.lineno}: {node.slice.value!r}"
        for module, node in nodes(ast.Subscript)
        if isinstance(node.slice, ast.Constant) and node.slice.value in keys and place_of(module) != "spec"
    ]

    assert not found


def parts_of(kind: type[Any]) -> Iterator[type[Any]]:
    """The dataclasses that a document's fields are of."""
    for hint in get_type_hints(kind).values():
        for name in re.findall(r"goldsmith\.[\w.]+", str(hint)):
            module, _, bare = name.rpartition(".")
            part = getattr(sys.modules.get(module), bare, None)
            if dataclasses.is_dataclass(part) and isinstance(part, type):
                yield part


def test_only_the_edge_ends_the_program() -> None:
    names = re.compile(r"exit|quit|SystemExit|Exit|sys\.exit|os\._exit")
    found = [
        f"{module}:{node.lineno}: raise an error of goldsmith.errors instead"
        for module, node in nodes(ast.Name, ast.Attribute)
        if not is_edge(module) and names.fullmatch(dotted(node))
    ]

    assert not found


def test_no_handler_hides_all_failures() -> None:
    """`except BaseException` is for clean-up only and must end in a bare raise."""
    of_red_builds = "changes.red_build"  # the build fails anyway, and says why
    handlers = [
        (module, node)
        for module, node in nodes(ast.ExceptHandler)
        if not is_edge(module) and not module.endswith(of_red_builds)
    ]
    assert len(handlers) > 20
    bad = []
    for module, node in handlers:
        caught = "" if node.type is None else ast.unparse(node.type)
        last = node.body[-1]
        raises_again = isinstance(last, ast.Raise) and last.exc is None
        if not caught or re.search(r"\bException\b", caught) or ("Base" in caught and not raises_again):
            bad.append(f"{module}:{node.lineno}")

    assert not bad


def test_modules_are_short() -> None:
    lines = {module: len(PATHS[module].read_text().splitlines()) for module in MODULES}

    assert not {module: count for module, count in lines.items() if count > LONGEST_MODULE}


def test_functions_are_short_or_have_a_reason() -> None:
    found = {
        f"{module}.{node.name}"
        for module, node in nodes(ast.FunctionDef, ast.AsyncFunctionDef)
        if node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION
    }

    assert found == LONG_FUNCTIONS.keys()


def test_folders_are_small() -> None:
    packages = [path.parent for path in PACKAGE.glob("**/__init__.py") if path.parent != PACKAGE]
    crowded = [path for path in packages if len(list(path.glob("*.py"))) - 1 > MOST_MODULES_OF_A_ROOM]
    folders = [path for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"]

    assert not crowded
    assert len(folders) <= MOST_FOLDERS
    assert len([path for path in PACKAGE.iterdir() if path.is_file()]) <= MOST_FILES


def test_unit_tests_mirror_the_package() -> None:
    """tests/unit/ROOM/test_MODULE.py, or test_MODULE_SUBJECT.py; a data folder may have modules as well."""
    files = sorted((ROOT / "tests/unit").glob("*/**/test_*.py"))
    assert len(files) > 50
    wrong = []
    for path in files:
        room = path.parent.relative_to(ROOT / "tests/unit")
        folders = (PACKAGE / room, ROOT / room) if room.parts[0] in ROOMS else (ROOT / "tests" / room,)
        subject = path.stem.removeprefix("test_")
        modules = [module.stem for folder in folders for module in folder.glob("*.py")]
        if not any(subject == module or subject.startswith(f"{module}_") for module in modules):
            wrong.append(str(path.relative_to(ROOT)))

    assert not wrong
