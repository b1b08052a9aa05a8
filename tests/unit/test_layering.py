# SPDX-License-Identifier: Apache-2.0
"""The rules of the house that no linter knows: who may import whom, and what stays in one place."""

from __future__ import annotations

import ast
import contextlib
import functools
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from goldsmith.workspace import project_root

pytestmark = pytest.mark.xdist_group("layering")  # so that one process parses each module, once

ROOT = project_root()
PACKAGE = ROOT / "goldsmith"

# The rooms of the house, from the ground up. A module imports from its own room and from those above
# it in this list, never from one below. A new module needs a place here.
ROOMS = {
    "errors": {"errors"},
    "ground": {"fulldisk", "locks", "spec", "proc", "progress", "rights", "wait"},
    "workspace": {"workspace", "reap"},
    "spec": {
        "specyaml", "specschema", "spectemplate", "specbuild", "specpods", "speccheck", "specfile", "specref",
    },
    "preflight": {"mirror", "hosttools", "partmap", "accelerator", "engine", "preflight"},
    "kubelet": {"baseimage", "download", "gotoolchain", "kubelet", "podschema"},
    "containers": {
        "aptproxy", "builder", "containers", "contexts", "cosign", "debindex", "debpackages", "debstore",
        "dockersave", "hashing", "imagestore", "keyless", "oci", "policy", "registry", "registryauth",
        "registryerrors", "rootfs",
    },
    "image": {"blockdevice", "dib", "diskplan", "netcut"},
    "artifact": {"artifact", "sealed"},
    "lock": {"lockfile", "lockroad", "movedtags", "outdated", "resume"},
    "boot": {"guest", "qemu", "seed"},
    "bill of materials": {
        "contents", "gobuildinfo", "osv", "sbom", "secrecy", "secretscan", "vulnerabilities",
    },
    "verify": {"junit", "suite", "verdict", "verify"},
    "pipeline": {"imageplan", "onestage", "pipeline", "timings"},
    "cloud": {
        "cloud", "cloudconf", "clouddoor", "clouddurable", "cloudenv", "cloudhealth", "cloudplace",
        "cloudrooms", "cloudstart", "cloudtls",
    },
    "provenance": {
        "attestation", "buildrecord", "imgsignature", "lookup", "signing", "signoff", "statement",
    },
    "heat": {
        "cloudapi", "heat", "heatbuild", "heatcheck", "heathooks", "heatproof", "heatreport", "heatroad",
        "procedure",
    },
    "publish": {
        "canary", "carryout", "glance", "imagediff", "inventory", "journal", "propertycheck",
        "publication", "publishplan", "publishroad", "publishstep", "records", "release", "sending",
        "transfer", "trust", "wishes",
    },
    "around it": {
        "bench", "benchpublish", "cli", "elementlint", "housekeeping", "provenancereport", "publishreport",
        "selftest", "soak", "soakcloud", "soakembed", "soakfailures", "soakgroup", "soakguest", "soakheat",
        "soakkill", "soakmutate", "soakoffline", "soakpublish", "soakrebuild", "soakroads", "summary",
        "treediff",
    },
    "tasks": {"cloudtasks", "provenancetasks", "publishtasks", "tasks"},
}  # fmt: skip

EDGE = {"tasks", "cli", "cloudtasks", "provenancetasks", "publishtasks"}  # where errors become exit codes

LONGEST_MODULE, LONGEST_FUNCTION = 400, 40
LONG_MODULES: dict[str, str] = {}
LONG_FUNCTIONS = {
    "proc.run": "start, pump, deadline and stop of one process belong together",
}

# Joined, so that this file does not name them itself.
REGISTRIES = tuple(
    ".".join(words)
    for words in (
        ("deb", "debian", "org"), ("security", "debian", "org"), ("proxy", "golang", "org"),
        ("sum", "golang", "org"), ("pypi", "org"), ("files", "pythonhosted", "org"),
        ("registry", "npmjs", "org"), ("registry-1", "docker", "io"), ("archive", "ubuntu", "com"),
    )
)  # fmt: skip
SOMEBODYS_PATHS = re.compile(
    "|".join(
        ("/roo" + r"t/(?!\.)[\w-]+/", "/wo" + r"rk/[a-z.]+", "/ho" + r"me/[a-z]\w*/", "/Use" + r"rs/\w+/")
    )
)

MODULES = sorted({path.stem for path in PACKAGE.glob("*.py")} - {"__init__"} | {"tasks"})
LEVEL = {module: level for level, room in enumerate(ROOMS.values()) for module in room}


def imports(found: Iterable[ast.AST]) -> Iterator[str]:
    """Whole names of what is imported anywhere in a module, also for types alone."""
    for node in found:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@functools.cache
def nodes_of(module: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path_of(module).read_text())))


@functools.cache
def imported(module: str) -> frozenset[str]:
    return frozenset(imports(nodes_of(module)))


@functools.cache
def own_imports(module: str) -> frozenset[str]:
    names = (name.split(".") for name in imported(module))
    return frozenset(name[1] for name in names if name[0] == "goldsmith" and len(name) > 1)


def nodes(*kinds: type[ast.AST]) -> Iterator[tuple[str, Any]]:
    return ((module, node) for module in MODULES for node in nodes_of(module) if isinstance(node, kinds))


def path_of(module: str) -> Path:
    return ROOT / "tasks.py" if module == "tasks" else PACKAGE / f"{module}.py"


def lines_of(module: str) -> int:
    return len(path_of(module).read_text().splitlines())


def test_there_are_modules_to_look_at() -> None:
    assert {"tasks", "pipeline", "errors", "verify"} <= set(MODULES)
    assert len(MODULES) > 30


def test_imports_are_found_in_every_form() -> None:
    tree = ast.parse(
        "import goldsmith.a\nfrom goldsmith import b\nfrom goldsmith.c import X\nimport os.path as p\n"
    )

    assert set(imports(ast.walk(tree))) == {"goldsmith.a", "goldsmith.b", "goldsmith.c.X", "os.path"}


def test_every_module_has_one_place() -> None:
    places = {module: [room for room, names in ROOMS.items() if module in names] for module in MODULES}

    assert not {module: rooms for module, rooms in places.items() if len(rooms) != 1}, "see ROOMS"


def test_imports_point_one_way() -> None:
    wrong = [
        f"{module} imports {name}, which comes after it on the road"
        for module in MODULES
        for name in sorted(own_imports(module))
        if LEVEL.get(name, 0) > LEVEL.get(module, 99)  # those without a place: the test above
    ]

    assert not wrong


def test_nobody_imports_in_a_circle() -> None:
    left = {module: own_imports(module) for module in MODULES}
    while free := [module for module, names in left.items() if not names & left.keys()]:
        for module in free:
            del left[module]

    assert not left


def test_errors_and_the_spec_import_nothing_of_ours() -> None:
    assert own_imports("errors") == set()
    assert own_imports("spec") == set()


@pytest.mark.parametrize(
    ("library", "door"),
    [("subprocess", "proc"), ("openstack", "cloudapi"), ("pycdlib", "seed"), ("fcntl", "locks")],
)
def test_some_libraries_have_one_door(library: str, door: str) -> None:
    users = {module for module in MODULES if any(n.split(".")[0] == library for n in imported(module))}

    assert users <= {door}


def test_proc_is_the_door_to_programs() -> None:
    """The test above would hold as well if nobody started anything."""
    assert "subprocess" in imported("proc")


def test_nothing_starts_programs_past_proc() -> None:
    starters = re.compile(r"(system|popen|exec[lv]\w*|(posix_)?spawn\w*|fork\w*)")
    found = [
        f"{module}:{node.lineno}"
        for module, node in nodes(ast.Attribute)
        if module != "proc" and ast.unparse(node.value) == "os" and starters.fullmatch(node.attr)
    ]

    assert not found


def test_nobody_changes_our_own_environment() -> None:
    """What depends on it then depends on who called before: hand a value over instead."""
    changed = {
        f"{module}:{node.lineno}"
        for module, node in nodes(ast.Subscript)
        if ast.unparse(node.value) == "os.environ" and not isinstance(node.ctx, ast.Load)
    }
    calls = re.compile(r"os\.(environ\.(pop|update|setdefault|clear|popitem)|putenv|unsetenv)")
    changed |= {
        f"{module}:{node.lineno}"
        for module, node in nodes(ast.Call)
        if calls.fullmatch(ast.unparse(node.func))
    }

    assert not changed


def constants(module: str) -> Iterator[tuple[str, object]]:
    """Names and literal values that a module defines, those of a tuple one by one."""
    for node in ast.parse(path_of(module).read_text()).body:
        if isinstance(node, ast.Assign):
            (target,) = node.targets
            both = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
            pairs = zip(target.elts, node.value.elts, strict=True) if both else [(target, node.value)]  # type: ignore[attr-defined]
            for name, value in pairs:
                with contextlib.suppress(ValueError):
                    yield ast.unparse(name), ast.literal_eval(value)


def test_a_path_or_a_table_stands_in_one_module_alone() -> None:
    """Where two have it, one of them is changed one day."""
    found: dict[str, set[str]] = {}
    for module in MODULES:
        for name, value in constants(module):
            is_path = isinstance(value, str) and re.fullmatch(r"/?[\w.-]+(/[\w.-]+){2,}", value)
            if is_path or (isinstance(value, dict) and len(value) > 1):
                found.setdefault(repr(value).replace("'/", "'"), set()).add(f"{module}.{name}")

    assert len(found) > 20
    assert [places for places in found.values() if len(places) > 1] == []


def test_the_name_of_the_latest_build_stands_in_one_module_alone() -> None:
    inside_a_config_drive = {"seed"}

    users = {module for module, node in nodes(ast.Constant) if node.value == "latest"}

    assert users - inside_a_config_drive == {"workspace"}


def test_only_the_edge_ends_the_program() -> None:
    names = re.compile(r"exit|quit|SystemExit|Exit|sys\.exit|os\._exit")
    found = [
        f"{module}:{node.lineno}: raise an error of goldsmith.errors instead"
        for module, node in nodes(ast.Name, ast.Attribute)
        if module not in EDGE and names.fullmatch(ast.unparse(node))
    ]

    assert not found


def test_no_failure_is_swallowed_whole() -> None:
    """`except BaseException` is for undoing, and must end in a bare raise."""
    handlers = [(module, node) for module, node in nodes(ast.ExceptHandler) if module not in EDGE]
    assert len(handlers) > 20
    bad = []
    for module, node in handlers:
        caught = "" if node.type is None else ast.unparse(node.type)
        last = node.body[-1]
        raises_again = isinstance(last, ast.Raise) and last.exc is None
        if not caught or re.search(r"\bException\b", caught) or ("Base" in caught and not raises_again):
            bad.append(f"{module}:{node.lineno}")

    assert not bad


def test_modules_are_short_or_have_a_reason() -> None:
    assert {module for module in MODULES if lines_of(module) > LONGEST_MODULE} == LONG_MODULES.keys()


def test_functions_are_short_or_have_a_reason() -> None:
    found = {
        f"{module}.{node.name}"
        for module, node in nodes(ast.FunctionDef, ast.AsyncFunctionDef)
        if node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION
    }

    assert found == LONG_FUNCTIONS.keys()


def committed_files() -> list[Path]:
    argv = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "ls-files", "-z"]
    listed = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


@pytest.mark.programs("git")
def test_no_file_depends_on_a_registry_or_on_somebodys_machine() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: there is nothing to ask for the list of files")
    files = committed_files()
    assert len(files) > 100
    found = []
    for path in files:
        text = path.read_text(errors="replace")
        words = [word for word in REGISTRIES if word in text] + SOMEBODYS_PATHS.findall(text)
        found += [f"{path.relative_to(ROOT)}: {word}" for word in words]

    assert not found


def test_the_search_for_somebodys_paths_finds_them() -> None:
    for path in ("/ho" + "me/ann/src", "/wo" + "rk/main", "/roo" + "t/lab/x", "/Use" + "rs/ann/x"):
        assert SOMEBODYS_PATHS.search(path), path
    for path in ("/root/.ssh/authorized_keys", "/homepage", "/workers"):
        assert not SOMEBODYS_PATHS.search(path), path


def test_every_source_file_says_its_licence() -> None:
    files = [*ROOT.glob("goldsmith/*.py"), *ROOT.glob("tests/unit/*.py"), ROOT / "tasks.py"]
    assert len(files) > 50

    assert not [
        str(path) for path in files if "SPDX-License-Identifier: Apache-2.0" not in path.read_text()[:99]
    ]
