# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import pytest

from goldsmith.core import paths
from goldsmith.spec import load, model, reference, schema
from goldsmith.spec.fields import KEYS
from tests.support import syntax

ALL_KEYS = list(reference.keys(schema.schema()))


def _objects(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "properties" in schema:
        yield schema
    for child in schema.get("properties", {}).values():
        yield from _objects(child)
    if "items" in schema:
        yield from _objects(schema["items"])


def test_the_schema_is_a_valid_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema.schema())


def test_every_key_has_a_description_that_is_a_sentence() -> None:
    assert len(ALL_KEYS) > 30
    for path, rule, _ in ALL_KEYS:
        assert rule.get("description", "").endswith("."), path
        assert rule.get("items", {}).get("description", "."), path


def test_every_pattern_is_explained() -> None:
    rules = [rule for _, rule, _ in ALL_KEYS] + [rule["items"] for _, rule, _ in ALL_KEYS if "items" in rule]
    patterns = [rule for rule in rules if "pattern" in rule]

    assert patterns
    assert all("$comment" in rule for rule in patterns)


def test_every_example_is_valid() -> None:
    examples = [(path, rule, example) for path, rule, _ in ALL_KEYS for example in rule.get("examples", ())]

    assert examples
    for path, rule, example in examples:
        errors = list(jsonschema.Draft202012Validator(rule).iter_errors(example))
        assert not errors, path


def test_no_mapping_lets_unknown_keys_through() -> None:
    found = list(_objects(schema.schema()))

    assert len(found) > 5
    assert all(rule["additionalProperties"] is False for rule in found)


def test_the_schema_holds_no_default() -> None:
    assert not [path for path, rule, _ in ALL_KEYS if "default" in rule]


def test_every_key_of_the_schema_fills_a_field_and_the_other_way_round() -> None:
    leaves = {
        path
        for path, rule, _ in ALL_KEYS
        if not any(other.startswith((f"{path}.", f"{path}[].")) for other, _, _ in ALL_KEYS)
    }

    assert leaves | {"base-image"} == {key.path for key in KEYS}


@pytest.mark.parametrize(
    "owner",
    [
        model.ImageSpec,
        model.DiskSpec,
        model.VerifySpec,
        model.KubeletSpec,
        model.HeatAgentSpec,
        model.ContainerSpec,
        model.AllowedSecret,
        model.Download,
        model.PublishSpec,
        model.PublishCloud,
    ],
)
def test_every_field_is_filled_by_a_key(owner: type) -> None:
    parts = {
        "disk",
        "verify",
        "kubelet",
        "heat_agent",
        "containers",
        "download",
        "publish",
        "clouds",
        "allow_secrets",
    }  # built from several keys each

    fields = {field.name for field in dataclasses.fields(owner)}

    assert fields - parts == {key.field for key in KEYS if key.owner is owner}


@pytest.mark.parametrize("path", ["arch", "disk.compression", "kubelet.source", "embed", "containers[].into"])
def test_the_choices_of_the_schema_are_those_of_the_enums(path: str) -> None:
    rule = next(rule for other, rule, _ in ALL_KEYS if other == path)
    key = next(key for key in KEYS if key.path == path)
    assert isinstance(key.convert, type)

    assert set(rule["enum"]) == {str(value) for value in key.convert}  # type: ignore[attr-defined]


def test_the_committed_reference_page_is_what_the_schema_makes() -> None:
    page = paths.project_root() / reference.PAGE

    assert page.read_text() == reference.page(), "run: python -m goldsmith.spec.reference"


def test_the_reference_page_prints_the_defaults_of_the_spec_module() -> None:
    page = reference.page()

    assert "Default: `[ConfigDrive, OpenStack]`" in page
    assert "Default: `1GiB`" in page
    assert "Default: `content-store`" in page


def test_every_shipped_spec_begins_with_the_line_that_editors_read() -> None:
    folder = paths.project_root() / "image-specs"

    assert load.names()
    for name in load.names():
        first = (folder / f"{name}.yaml.j2").read_text().splitlines()[0]
        relative = first.removeprefix("# yaml-language-server: $schema=")
        assert (folder / relative).resolve() == schema.SCHEMA_PATH


@syntax.ONE_PROCESS
def test_every_key_that_a_message_names_is_one() -> None:
    known = {path.replace("[]", "") for path, _, _ in ALL_KEYS}
    sections = "|".join({path.partition(".")[0] for path in known if "." in path})
    dotted = re.compile(rf"(?<![\w./*-])(?:{sections})(?:\.[a-z][a-z0-9-]*+)++(?!\w)")
    named = {
        (path.name, key)
        for path in sorted((paths.project_root() / "goldsmith").rglob("*.py"))
        for node in syntax.nodes(path, ast.Constant)
        if isinstance(node.value, str) and " " in node.value
        for key in dotted.findall(node.value)
        if not key.endswith((".json", ".log", ".py", ".tar"))
    }

    assert len(named) > 5
    assert {(file, key) for file, key in named if key not in known} == set()
