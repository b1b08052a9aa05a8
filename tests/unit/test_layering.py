# SPDX-License-Identifier: Apache-2.0
"""Rules of the code that no linter checks: layers of imports, and code that belongs into one module only.

The layer of a module follows from its folder. A new module needs no entry here.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import itertools
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from goldsmith.cli import reference
from goldsmith.core.paths import project_root
from tests.support import syntax
from tests.support.syntax import dotted

pytestmark = syntax.ONE_PROCESS

ROOT = project_root()
PACKAGE = ROOT / "goldsmith"

# Rooms and top-level modules, the lowest layer first. A layer imports only from earlier ones in this list;
# rooms of the same layer never import each other.
LAYERS = (
    {"errors"}, {"core"}, {"spec", "apt"}, {"host"}, {"kubernetes", "containers"}, {"image"}, {"scan"},
    {"verify", "provenance"}, {"publish", "devcloud"}, {"heat"}, {"clean"}, {"resume"}, {"pipeline"},
    {"cli"}, {"tasks"},
)  # fmt: skip
LEVEL = {place: level for level, places in enumerate(LAYERS) for place in places}
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))

LIBRARIES = {  # the only modules that may import them
    "subprocess": {"core.proc"},
    "openstack": {"core.openstack"},
    "pycdlib": {"verify.config_drive"},
    "fcntl": {"core.locks"},
}

LONGEST_MODULE, LONGEST_FUNCTION = 400, 40
MOST_MODULES_OF_A_ROOM, MOST_FOLDERS, MOST_FILES = 18, 16, 6
LONG_FUNCTIONS: dict[str, str] = {}  # with the reason

# Joined, so that this file does not name them itself.
REGISTRIES = tuple(
    ".".join(words)
    for words in (
        ("deb", "debian", "org"), ("security", "debian", "org"), ("proxy", "golang", "org"),
        ("sum", "golang", "org"), ("pypi", "org"), ("files", "pythonhosted", "org"),
        ("registry", "npmjs", "org"), ("registry-1", "docker", "io"), ("archive", "ubuntu", "com"),
    )
)  # fmt: skip
MACHINE_PATHS = re.compile(
    "|".join(
        ("/roo" + r"t/(?!\.)[\w-]+/", "/wo" + r"rk/[a-z.]+", "/ho" + r"me/[a-z]\w*/", "/Use" + r"rs/\w+/")
    )
)


def name_of(path: Path) -> str:
    """goldsmith/core/proc.py is core.proc, goldsmith/core/__init__.py is core, tasks.py is tasks."""
    relative = path.relative_to(PACKAGE) if path.is_relative_to(PACKAGE) else path.relative_to(ROOT)
    return ".".join(part for part in relative.with_suffix("").parts if part != "__init__")


PATHS = {
    name: path
    for path in [*PACKAGE.glob("*.py"), *PACKAGE.glob("*/*.py"), ROOT / "tasks.py"]
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
    return frozenset(imports(syntax.nodes(PATHS[module], ast.Import, ast.ImportFrom)))


@functools.cache
def own_imports(module: str) -> frozenset[str]:
    """The modules of goldsmith that a module imports."""
    names = (name.removeprefix("goldsmith.") for name in imported(module) if name.startswith("goldsmith."))
    return frozenset(name if name in PATHS else name.rpartition(".")[0] for name in names)


def place_of(module: str) -> str:
    return module.partition(".")[0]


def nodes(*kinds: type[ast.AST]) -> Iterator[tuple[str, Any]]:
    return ((module, node) for module in MODULES for node in syntax.nodes(PATHS[module], *kinds))


@functools.cache
def face_of(room: str) -> frozenset[str]:
    """The modules that other rooms may use, from the last paragraph of the room's docstring."""
    text = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text())) or ""
    listed = re.search(r"^Others use:\s+(.+?)\.$", text, re.MULTILINE | re.DOTALL)
    assert listed, f"goldsmith/{room}/__init__.py does not end with: Others use: MODULE, MODULE."
    return frozenset(re.split(r",\s+", listed[1]))


def test_modules_are_found() -> None:
    assert {"tasks", "pipeline", "errors", "verify.session"} <= set(MODULES)
    assert len(MODULES) > 100
    assert len(OTHERS) > 100


def test_imports_are_found_in_every_form() -> None:
    tree = ast.parse(
        "import goldsmith.a\nfrom goldsmith import b\nfrom goldsmith.c import X\nimport os.path as p\n"
    )

    assert set(imports(ast.walk(tree))) == {"goldsmith.a", "goldsmith.b", "goldsmith.c.X", "os.path"}


def test_every_folder_and_file_has_its_layer() -> None:
    assert {place_of(module) for module in MODULES} == LEVEL.keys()
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir()} - {"__pycache__"} == {
        *ROOMS, "schema",
    }  # fmt: skip


def test_imports_point_one_way() -> None:
    wrong = [
        f"{module} imports {name}, which is no layer below it"
        for module in MODULES
        for name in sorted(own_imports(module))
        if place_of(name) != place_of(module) and LEVEL[place_of(name)] >= LEVEL[place_of(module)]
    ]

    assert not wrong


def test_other_rooms_import_only_the_public_modules_of_a_room() -> None:
    wrong = [
        f"{module} imports {name}; goldsmith/{place_of(name)}/__init__.py does not list it"
        for module in MODULES
        for name in sorted(own_imports(module))
        if place_of(name) in ROOMS and place_of(name) != place_of(module)
        and name.rpartition(".")[2] not in face_of(place_of(name))
    ]  # fmt: skip

    assert not wrong


@pytest.mark.parametrize("room", ROOMS)
def test_the_public_modules_of_a_room_exist_and_are_used(room: str) -> None:
    used = {name for module in MODULES if place_of(module) != room for name in own_imports(module)}
    started = {"reaper", "reference"}  # as programs

    assert {f"{room}.{name}" for name in face_of(room)} <= set(MODULES)
    assert {name for name in face_of(room) if f"{room}.{name}" not in used} <= started


def test_no_imports_are_circular() -> None:
    left = {module: own_imports(module) - {module} for module in MODULES}
    while free := [module for module, names in left.items() if not names & left.keys()]:
        for module in free:
            del left[module]

    assert not left


def test_the_package_imports_no_tests() -> None:
    assert not [
        f"{module} imports {name}"
        for module in MODULES
        for name in imported(module)
        if name.split(".")[0] == "tests"
    ]


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


MODULE_NAME = re.compile(rf"\b(?:goldsmith\.(?:{'|'.join(ROOMS)})|tests)(?:\.[a-z_]\w*)+(?![\w-]|\.[a-z])")


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


def test_errors_and_the_spec_import_nothing_of_ours() -> None:
    assert own_imports("errors") == set()
    assert own_imports("spec.model") == set()


@pytest.mark.parametrize("library", LIBRARIES)
def test_some_libraries_are_used_in_one_place(library: str) -> None:
    users = {module for module in MODULES if any(n.split(".")[0] == library for n in imported(module))}

    assert users == LIBRARIES[library]


def test_connections_to_clouds_stay_in_their_clients() -> None:
    """openstacksdk has no types, so that nothing checks the use of a connection."""
    users = {
        module
        for module, node in nodes(ast.Attribute, ast.arg)
        if getattr(node, "attr", getattr(node, "arg", "")) in ("sdk", "_sdk")
        or (isinstance(node, ast.Attribute) and dotted(node) == "openstack.connect")
    }

    assert users == {
        "publish.glance", "publish.nova", "heat.client", "heat.images", "heat.servers", "heat.stacks",
    }  # fmt: skip


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
    handlers = [(module, node) for module, node in nodes(ast.ExceptHandler) if not is_edge(module)]
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
    crowded = {
        room for room in ROOMS if len(list((PACKAGE / room).glob("*.py"))) - 1 > MOST_MODULES_OF_A_ROOM
    }
    folders = [path for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"]

    assert not crowded
    assert len(folders) <= MOST_FOLDERS
    assert len([path for path in PACKAGE.iterdir() if path.is_file()]) <= MOST_FILES


def test_unit_tests_mirror_the_package() -> None:
    """tests/unit/ROOM/test_MODULE.py, or test_MODULE_SUBJECT.py; a data folder may have modules as well."""
    files = sorted((ROOT / "tests/unit").glob("*/test_*.py"))
    assert len(files) > 50
    wrong = []
    for path in files:
        room = path.parent.name
        folders = (PACKAGE / room, ROOT / room) if room in ROOMS else (ROOT / "tests" / room,)
        subject = path.stem.removeprefix("test_")
        modules = [module.stem for folder in folders for module in folder.glob("*.py")]
        if not any(subject == module or subject.startswith(f"{module}_") for module in modules):
            wrong.append(str(path.relative_to(ROOT)))

    assert not wrong


def committed_files() -> list[Path]:
    argv = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "ls-files", "-z"]
    listed = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


@pytest.mark.programs("git")
def test_no_file_names_a_registry_or_a_path_of_one_machine() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: there is nothing to ask for the list of files")
    files = committed_files()
    assert len(files) > 100
    found = []
    for path in files:
        text = path.read_text(errors="replace")
        words = [word for word in REGISTRIES if word in text] + MACHINE_PATHS.findall(text)
        found += [f"{path.relative_to(ROOT)}: {word}" for word in words]

    assert not found


def test_the_search_for_paths_of_one_machine_finds_them() -> None:
    for path in ("/ho" + "me/ann/src", "/wo" + "rk/main", "/roo" + "t/lab/x", "/Use" + "rs/ann/x"):
        assert MACHINE_PATHS.search(path), path
    for path in ("/root/.ssh/authorized_keys", "/homepage", "/workers"):
        assert not MACHINE_PATHS.search(path), path


def test_every_source_file_has_its_licence() -> None:
    assert not [
        str(path)
        for path in [*PATHS.values(), *OTHERS]
        if "SPDX-License-Identifier: Apache-2.0" not in path.read_text()[:99]
    ]
