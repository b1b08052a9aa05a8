# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.core.paths import project_root
from tests.lint.elements import check

HOOK = """#!/bin/bash
if [ "${DIB_DEBUG_TRACE:-0}" -gt 0 ]; then
    set -x
fi
set -eu
set -o pipefail
"""
README = """====
mine
====

Environment variables
---------------------

DIB_MINE_K8S
  :Required: No
  :Description: What it is.
  :Example: ``DIB_MINE_K8S=1``
"""


@pytest.fixture
def elements(tmp_path: Path) -> Path:
    """A folder with one good element."""
    write(tmp_path, "mine/README.rst", README)
    write(tmp_path, "mine/environment.d/50-mine.bash", 'export DIB_MINE_K8S="${DIB_MINE_K8S:-}"\n')
    write(tmp_path, "mine/install.d/50-mine", HOOK, mode=0o755)
    write(tmp_path, "mine/mine-files/a.conf", "a\n")
    return tmp_path


def write(elements: Path, name: str, text: str, mode: int = 0o644) -> None:
    path = elements / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def only_problem(elements: Path) -> str:
    (problem,) = check(elements)
    return problem.removeprefix(f"{elements}/")


def test_a_good_element_is_clean(elements: Path) -> None:
    assert check(elements) == []


def test_no_element_at_all_is_a_problem(tmp_path: Path) -> None:
    assert only_problem(tmp_path).endswith("no element in it")


def test_a_readme_is_needed(elements: Path) -> None:
    (elements / "mine/README.rst").unlink()

    assert only_problem(elements) == "mine: no README.rst"


def test_every_variable_is_explained(elements: Path) -> None:
    write(elements, "mine/README.rst", "mine\n")

    assert only_problem(elements) == "mine/README.rst: does not explain DIB_MINE_K8S"


@pytest.mark.parametrize("field", [":Required:", ":Description:", ":Example:"])
def test_an_explanation_is_complete(elements: Path, field: str) -> None:
    write(elements, "mine/README.rst", README.replace(field, "and"))

    assert only_problem(elements) == f"mine/README.rst: DIB_MINE_K8S lacks {field}"


def test_a_phase_is_one_that_is_run(elements: Path) -> None:
    write(elements, "mine/installs.d/50-mine", HOOK, mode=0o755)

    assert only_problem(elements) == "mine/installs.d: no phase of diskimage-builder"


@pytest.mark.parametrize(
    "name", ["50-mine.sh", "mine", "05-mine", "5-mine", "50_mine", "95-mine", "50-Mine", "50-other"]
)
def test_a_hook_has_a_name_that_is_run_and_is_ours(elements: Path, name: str) -> None:
    write(elements, f"mine/install.d/{name}", HOOK, mode=0o755)

    assert only_problem(elements).startswith(f"mine/install.d/{name}: must be called NN-mine")


def test_a_hook_is_executable(elements: Path) -> None:
    (elements / "mine/install.d/50-mine").chmod(0o644)

    assert "is not executable" in only_problem(elements)


def test_a_file_of_the_environment_ends_in_bash(elements: Path) -> None:
    write(elements, "mine/environment.d/51-mine", "export A=1\n")

    assert "end in .bash" in only_problem(elements)


@pytest.mark.parametrize("wanted", ["set -eu", "set -o pipefail", "DIB_DEBUG_TRACE"])
def test_a_hook_stops_at_the_first_error_and_can_be_traced(elements: Path, wanted: str) -> None:
    write(elements, "mine/install.d/50-mine", HOOK.replace(wanted, "true"), mode=0o755)

    assert only_problem(elements) == f"mine/install.d/50-mine: lacks {wanted}"


def test_another_way_to_name_bash_does_not_evade_the_rules(elements: Path) -> None:
    write(elements, "mine/install.d/50-mine", "#!/usr/bin/env bash\necho\n", mode=0o755)

    assert len(check(elements)) == 3


@pytest.mark.parametrize("phase", ["cleanup.d", "extra-data.d", "post-root.d", "pre-finalise.d", "root.d"])
def test_what_runs_outside_the_chroot_writes_there_as_root(elements: Path, phase: str) -> None:
    line = '    rm -f "${TARGET_ROOT}/etc/x"\n'
    write(elements, f"mine/{phase}/50-mine", f"{HOOK}{line}", mode=0o755)

    assert only_problem(elements).startswith(f"mine/{phase}/50-mine:7: writes to TARGET_ROOT without sudo")

    write(elements, f"mine/{phase}/50-mine", f"{HOOK}{line.replace('rm', 'sudo rm')}", mode=0o755)
    assert check(elements) == []


def test_die_is_not_used(elements: Path) -> None:
    write(elements, "mine/install.d/50-mine", f"{HOOK}die no\n", mode=0o755)

    assert "die ends with the status" in only_problem(elements)


def test_two_elements_do_not_share_a_folder(elements: Path) -> None:
    write(elements, "other/README.rst", "other\n")
    write(elements, "other/mine-files/b.conf", "b\n")

    assert only_problem(elements).startswith("other/mine-files: mine has a folder of that name too")


def test_our_own_elements_are_clean() -> None:
    folder = project_root() / "elements"

    assert len(list(folder.iterdir())) >= 5
    assert check(folder) == []
