# SPDX-License-Identifier: Apache-2.0
"""Files of procedures; integration/test_cloud.py applies some to a real Heat."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.core import paths
from goldsmith.errors import SpecError
from goldsmith.heat import procedure
from tests.support import installed

SHIPPED = sorted((paths.project_root() / "heat-templates/procedures").glob("*.yaml.j2"))


def load(tmp_path: Path, text: str, **variables: str) -> tuple[procedure.Step, ...]:
    path = tmp_path / "steps.yaml"
    path.write_text(text)
    return procedure.load(path, variables)


def test_variables_are_rendered_into_the_steps(tmp_path: Path) -> None:
    (step,) = load(tmp_path, 'steps: [{name: a, parameters: {image: "{{ image }}"}, run: "true"}]', image="b")

    assert step == procedure.Step(name="a", parameters={"image": "b"}, outputs={}, run="true")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: []", "steps.yaml:1: steps must not be empty"),
        ("steps:\n- {name: a, what: 1}", r"steps.yaml:2: unknown key 'what' in steps\[0\] \(known: "),
        ("steps: [{parameters: {a: b}}]", r"missing key 'name' in steps\[0\]"),
        ("steps: [{name: a}, {name: a}]", "two steps have the name a"),
        ("steps: [{name: a, name: b}]", "duplicate key"),
        ("steps: [{name: {{ x }}}]", r"'x' is not set.*--var x=VALUE\)"),
        ("a: [", "not valid YAML"),
        ("steps: [{name: {{ 1 + 'x' }}}]", "steps.yaml:1: TypeError: unsupported operand"),
        ("steps: [{name: {{ }]", "steps.yaml:1: not a valid template"),
        ("steps: [{name: a, parameters: {day: 2026-01-02}}]", "day has a value that Heat does not take"),
        ("- a", "must be a mapping of keys to values"),
    ],
)
def test_an_invalid_procedure_is_reported_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load(tmp_path, text)


def test_a_file_that_is_no_text_is_reported(tmp_path: Path) -> None:
    (tmp_path / "steps.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match="is not UTF-8 text"):
        procedure.load(tmp_path / "steps.yaml", {})


def test_a_count_that_is_no_number_changes_nothing() -> None:
    with pytest.raises(SpecError, match="TypeError"):
        procedure.load(SHIPPED[0], {"image": "1", "count": "two"})


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no procedure .*: there is no such file"):
        procedure.load(tmp_path / "nowhere.yaml", {})


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.name))
def test_the_shipped_procedures_are_valid(path: Path) -> None:
    assert procedure.load(path, {"image": "1", "count": "2"})


def test_an_installed_goldsmith_finds_a_shipped_procedure_by_its_path_in_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed.pretend(tmp_path, monkeypatch)

    name = SHIPPED[0].relative_to(SHIPPED[0].parents[2])

    assert procedure.load(name, {"image": "1", "count": "2"})
