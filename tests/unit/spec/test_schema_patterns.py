# SPDX-License-Identifier: Apache-2.0
"""Patterns of the schemas, by Python's engine as goldsmith reads them and by ECMA's as editors do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import regress

from goldsmith.core import paths
from goldsmith.spec import schema

# Of patterns whose rule has no example of its own.
SAMPLES = ("web", "0123456789abcdef" * 4, "https://example.org/a", "key", "my_key", "1.35.4", "NAME", "f00")


def patterns(rule: object, examples: tuple[str, ...] = ()) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every pattern, with the examples that stand beside it or above it."""
    if isinstance(rule, Mapping):
        given = rule.get("examples", ())
        flat = [each for item in given for each in (item if isinstance(item, list) else [item])]
        examples = tuple(each for each in flat if isinstance(each, str)) or examples
        if isinstance(rule.get("pattern"), str):
            yield rule["pattern"], examples
        for child in rule.values():
            yield from patterns(child, examples)
    elif isinstance(rule, list):
        for child in rule:
            yield from patterns(child, examples)


def of_all_schemas() -> list[tuple[str, tuple[str, ...]]]:
    files = sorted((paths.project_root() / "goldsmith/schema").glob("*.json"))
    return [found for file in files for found in patterns(json.loads(file.read_text()))]


def in_ecma(pattern: str) -> Callable[[str], bool]:
    compiled = regress.Regex(pattern, flags="u")
    return lambda text: compiled.find(text) is not None


def in_python(pattern: str) -> Callable[[str], bool]:
    return lambda text: re.search(pattern, text) is not None


@pytest.mark.parametrize("engine", [in_python, in_ecma])
@pytest.mark.parametrize(("pattern", "examples"), of_all_schemas())
def test_no_pattern_takes_a_final_newline(
    engine: Callable[[str], Callable[[str], bool]], pattern: str, examples: tuple[str, ...]
) -> None:
    matches = engine(pattern)
    samples = [sample for sample in (*examples, *SAMPLES) if matches(sample)]

    assert samples, "the test has no text that this pattern takes"
    for sample in samples:
        assert not matches(f"{sample}\n")
        assert not matches(f"{sample}\n\n")
        assert not matches(f"{sample}\nx")


def test_there_are_patterns() -> None:
    assert len(of_all_schemas()) > 20


def test_a_name_with_a_final_newline_is_refused() -> None:
    """As YAML writes one: name: |"""
    rule: dict[str, Any] = schema.schema()["properties"]["name"]

    assert in_python(rule["pattern"])("web")
    assert not in_python(rule["pattern"])("web\n")
