# SPDX-License-Identifier: Apache-2.0
"""Problems as a list: what programs get of a file that a user wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.containers import policy, rootfs
from goldsmith.errors import GoldsmithError, SpecError
from goldsmith.heat import procedure
from goldsmith.provenance import lockfile
from goldsmith.spec import load
from goldsmith.spec.problem import Problem

MINIMAL = "name: mine\ndistribution: debian\nrelease: trixie\n"


def problems_of(checkout: Path, text: str) -> list[Problem]:
    (checkout / "image-specs").mkdir()
    (checkout / "image-specs/mine.yaml.j2").write_text(text)
    with pytest.raises(SpecError) as e:
        load.load("mine", root=checkout)
    listed = [each for each in e.value.problems if isinstance(each, Problem)]
    assert str(e.value) == "\n".join(map(str, listed))
    return listed


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        (MINIMAL + "containers: []\ncolour: red\n", 5, "colour"),
        (MINIMAL, 1, "containers"),
        (MINIMAL + "containers: []\nkubelet: {}\n", 5, "kubelet.version"),
        (MINIMAL + "containers: []\ndisk: {size: big}\n", 5, "disk.size"),
        (MINIMAL + "containers:\n- ref: a.b/app:1\n- {build: 1, ref: a.b/c:1}\n", 6, "containers[1].build"),
        (MINIMAL + "containers: []\nelements: [no-such-element]\n", 5, "elements[0]"),
        (MINIMAL + "containers: []\nverify:\n  pods:\n  - kind: Job\n", 7, "verify.pods[0]"),
        (MINIMAL + "containers: []\nrelease: sid\n", 5, "release"),
        (MINIMAL + "containers: []\ndib-env: {1: a}\n", 5, "dib-env.1"),
        (MINIMAL + "containers: []\nmin-ram: 2026-13-45\n", 5, "min-ram"),
        ("name: {{ no_such_variable }}\n" + MINIMAL[11:] + "containers: []\n", 1, None),
        ("a: [\n", 1, None),
    ],
)
def test_a_problem_of_a_spec_names_the_line_and_the_key(
    tmp_path: Path, text: str, line: int, key: str | None
) -> None:
    found = problems_of(tmp_path, text)

    assert (line, key) in [(problem.line, problem.key) for problem in found]
    assert {problem.file for problem in found} == {"image-specs/mine.yaml.j2"}


def test_two_keys_of_one_line_with_one_problem_are_two_problems_and_one_line(tmp_path: Path) -> None:
    (tmp_path / "image-specs").mkdir()
    (tmp_path / "image-specs/mine.yaml.j2").write_text(MINIMAL + "containers: []\nelements: [nope, nope]\n")

    with pytest.raises(SpecError) as e:
        load.load("mine", root=tmp_path)

    missing = [p for p in e.value.problems if isinstance(p, Problem) and p.message == "no element 'nope'"]
    assert [problem.key for problem in missing] == ["elements[0]", "elements[1]"]
    assert str(e.value).count("no element 'nope'") == 1


def recipe(path: Path) -> object:
    (path.parent / "rootfs.yaml").write_bytes(path.read_bytes())
    return rootfs.read(path.parent)


@pytest.mark.parametrize(
    ("read", "text", "line", "key"),
    [
        (policy.load, "engine: {}\nregistries: {a.b: {}}\n", 2, "registries.a.b"),
        (policy.load, "engine: {}\nengine: {}\n", 2, "engine"),
        (recipe, "packages: []\npackages: []\n", 2, "packages"),
        (lambda path: procedure.load(path, {}), "steps:\n- name: 1\n", 2, "steps[0].name"),
        (lockfile.read, "spec: a\nspec: b\n", 2, "spec"),
    ],
)
def test_other_files_of_the_user_list_their_problems_too(
    tmp_path: Path, read: Callable[[Path], object], text: str, line: int, key: str
) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)

    with pytest.raises(GoldsmithError) as e:
        read(path)

    (problem,) = e.value.problems
    assert isinstance(problem, Problem)
    assert (problem.line, problem.key) == (line, key)
    assert str(problem) in str(e.value)
