# SPDX-License-Identifier: Apache-2.0
"""Generate docs/spec-reference.md from the schema and the defaults of model.py.

`python -m goldsmith.spec.reference` writes it.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Iterator, Mapping
from typing import Any

from goldsmith.core import paths
from goldsmith.spec import fields, schema

PAGE = "docs/spec-reference.md"

_HEAD = """\
# Spec reference

Every key of a spec, `image-specs/NAME.yaml.j2`. How to write one: [write a spec](write-a-spec.md).

<!-- Made from image-spec.schema.json and spec/model.py by: python -m goldsmith.spec.reference -->
"""

_TYPES = {"array": "list", "boolean": "true or false", "integer": "whole number", "object": "mapping",
          "null": "null", "string": "text"}  # fmt: skip


def page() -> str:
    """The whole page, as Markdown."""
    return _HEAD + "".join(_sections(schema.schema(), "", 2))


def keys(schema: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """Every key of a schema: its dotted path, its own schema, whether it is required."""
    required = schema.get("required", ())
    for name, child in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield path, child, name in required
        yield from keys(child, f"{path}.")
        yield from keys(child.get("items", {}), f"{path}[].")


def _sections(schema: Mapping[str, Any], prefix: str, level: int) -> Iterator[str]:
    for path, rule, required in keys(schema, prefix):
        depth = level + path.count(".")
        yield f"\n{'#' * depth} {path}\n\n{rule['description']}\n\n"
        yield "".join(f"- {fact}\n" for fact in _facts(path, rule, required=required))


def _facts(path: str, rule: Mapping[str, Any], *, required: bool) -> Iterator[str]:
    yield f"Type: {_type(rule)}"
    if required:
        inside = path.rpartition(".")[0]
        yield f"Required in `{inside}`" if inside else "Required"
    elif (default := _default(path)) is not None:
        yield f"Default: {default}"
    if comment := rule.get("$comment"):
        yield f"Form: {comment}"
    if "examples" in rule:
        yield f"Example: `{path.rpartition('.')[2]}: {_yaml(rule['examples'][0])}`"


def _type(rule: Mapping[str, Any]) -> str:
    if "enum" in rule:
        return "one of " + ", ".join(f"`{value}`" for value in rule["enum"])
    kinds = [rule["type"]] if isinstance(rule["type"], str) else rule["type"]
    text = " or ".join(_TYPES[kind] for kind in kinds)
    return f"{text} of {_type(rule['items'])}" if "items" in rule else text


def _default(path: str) -> str | None:
    """The default in YAML; None where absence means what the description says."""
    key = next((key for key in fields.KEYS if key.path == path), None)
    if key is None or (value := key.default()) in (None, dataclasses.MISSING):
        return None
    if key.convert is fields.mib:
        assert isinstance(value, int)
        return f"`{value // 1024}GiB`" if value % 1024 == 0 else f"`{value}MiB`"
    return f"`{_yaml(value)}`"


def _yaml(value: object) -> str:
    """A value in YAML's flow style; quoted where YAML would not read it as text."""
    match value:
        case enum.Enum():
            return str(value.value)
        case bool():
            return str(value).lower()
        case list() | tuple():
            return "[" + ", ".join(map(_yaml, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{key}: {_yaml(child)}" for key, child in value.items()) + "}"
        case str():
            plain = value[:1].isalpha() and ": " not in value
            return value if plain else json.dumps(value)
        case _:
            return str(value)


if __name__ == "__main__":
    (paths.project_root() / PAGE).write_text(page(), encoding="utf-8")
