# SPDX-License-Identifier: Apache-2.0
"""Layers of imports: the layer of a module follows from its folder. A new module needs no entry here."""

from __future__ import annotations

import ast
import functools
import re

import pytest

from tests.support import syntax
from tests.support.modules import (
    MODULES,
    OTHERS,
    PACKAGE,
    ROOMS,
    imported,
    imports,
    nodes,
    own_imports,
    place_of,
)
from tests.support.syntax import dotted

pytestmark = syntax.ONE_PROCESS

# Rooms and top-level modules, the lowest layer first. A layer imports only from earlier ones in this list;
# rooms of the same layer never import each other.
LAYERS = (
    {"errors"}, {"core"}, {"spec", "apt"}, {"host"}, {"kubernetes", "containers"}, {"image"}, {"layers"},
    {"scan"}, {"verify", "provenance"}, {"changes"}, {"publish", "devcloud"}, {"heat"}, {"clean"}, {"build"},
    {"pipeline"}, {"cli"}, {"tasks"},
)  # fmt: skip

LEVEL = {place: level for level, places in enumerate(LAYERS) for place in places}

LIBRARIES = {  # the only modules that may import them
    "subprocess": {"core.proc"},
    "openstack": {"core.openstack"},
    "pycdlib": {"verify.config_drive"},
    "fcntl": {"core.locks", "core.reaper"},
}


@functools.cache
def face_of(room: str) -> frozenset[str]:
    """The modules that other rooms may use, from the last paragraph of the room's docstring."""
    text = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text())) or ""
    listed = re.search(r"^Others use:\s+(.+?)\.$", text, re.MULTILINE | re.DOTALL)
    assert listed, f"goldsmith/{room}/__init__.py does not end with: Others use: MODULE, MODULE."
    return frozenset(re.split(r",\s+", listed[1]))


def part_of(name: str) -> str:
    """ROOM.MODULE, or the folder in a room that a module is in."""
    return ".".join(name.split(".")[:2])


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
        and part_of(name).rpartition(".")[2] not in face_of(place_of(name))
    ]  # fmt: skip

    assert not wrong


@pytest.mark.parametrize("room", ROOMS)
def test_the_public_modules_of_a_room_exist_and_are_used(room: str) -> None:
    used = {part_of(name) for module in MODULES if place_of(module) != room for name in own_imports(module)}
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
    """Nor do the suites, which run where no checkout is."""
    files = sorted(PACKAGE.rglob("*.py"))
    assert PACKAGE / "verify/suites/guest.py" in files

    assert not [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in files
        for name in imports(syntax.nodes(path, ast.Import, ast.ImportFrom))
        if name.split(".")[0] == "tests"
    ]


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
