# SPDX-License-Identifier: Apache-2.0
"""Check a spec by its JSON schema; report problems in the user's terms."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError


from goldsmith.spec.document import KeyPath, YamlDocument, dotted
from goldsmith.spec.problem import Problem

SCHEMA_PATH = Path(__file__).parent.parent / "schema" / "image-spec.schema.json"

_WANTED = {
    "array": "a list", "boolean": "true or false", "integer": "a whole number", "null": "null",
    "object": "a mapping of keys to values", "string": "text",
}  # fmt: skip


@functools.cache
def schema() -> dict[str, Any]:
    """The schema, as shipped."""
    loaded: dict[str, Any] = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
    return loaded


def check(document: YamlDocument, rules: Mapping[str, Any] | None = None) -> Iterator[Problem]:
    """The problems of a document by a JSON schema, by default that of specs."""
    import jsonschema  # takes a tenth of a second, which only tasks that load a spec need

    validator = jsonschema.Draft202012Validator(schema() if rules is None else rules)
    for error in validator.iter_errors(document.data):
        yield from _problems(document, error)


def wrong_type(
    document: YamlDocument, path: KeyPath, value: object, wanted: str, rule: Mapping[str, Any] | None = None
) -> Problem:
    """The problem of a value of a wrong type; shows it as it was written, 24.10 and not 24.1."""
    raw = document.raw.get(path, "")
    hint = None
    if wanted == _WANTED["string"] and path in document.raw and value is not None:
        key = "" if not path or isinstance(path[-1], int) else f"{path[-1]}: "
        hint = f'quote it: {key}"{raw}"'
        if rule and not re.search(rule.get("pattern", ""), raw):
            hint = f"write {rule['$comment']}"
    elif isinstance(value, str) and wanted in (_WANTED["integer"], _WANTED["boolean"]):
        hint = "write it without quotes"
    name = dotted(path) or "the file"
    return document.problem(path, f"{name} must be {wanted}, got {_shown(value, raw)}", hint)


def _problems(document: YamlDocument, error: ValidationError) -> Iterator[Problem]:
    path: KeyPath = tuple(error.absolute_path)
    rule: Any = error.validator_value
    match error.validator:
        case "additionalProperties":
            yield from _unknown_keys(document, path, error)
        case "required":
            yield from _missing_keys(document, path, [key for key in rule if key not in _mapping(error)])
        case "dependentRequired":
            given = _mapping(error)
            needed = {key for asked, keys in rule.items() if asked in given for key in keys}
            yield from _missing_keys(document, path, sorted(needed - set(given)))
        case "type":
            wanted = _WANTED[rule if isinstance(rule, str) else rule[0]]
            yield wrong_type(document, path, error.instance, wanted, _schema_of(error))
        case "enum":
            yield _not_among(document, path, error)
        case "uniqueItems":
            yield from _twice(document, path, error)
        case "pattern" if "propertyNames" in error.absolute_schema_path:
            yield document.problem((*path, str(error.instance)), _sentence(path, error))
        case _:
            yield document.problem(path, _sentence(path, error))


def _sentence(path: KeyPath, error: ValidationError) -> str:
    """The message for a value that breaks a rule; $comment in the schema explains the rule."""
    name = dotted(path) or "the file"
    comment = _schema_of(error).get("$comment")
    match error.validator:
        case "minItems" | "minLength":
            return f"{name} must not be empty"
        case "minimum":
            return f"{name} must be at least {error.validator_value}, got {error.instance}"
        case "pattern":
            return f"{name} must be {comment}, got '{error.instance}'"
        case "anyOf":
            return f"{name}: {comment}"
        case _:
            return f"{name}: {error.message}"


def _schema_of(error: ValidationError) -> dict[str, Any]:
    return error.schema if isinstance(error.schema, dict) else {}


def _mapping(error: ValidationError) -> dict[str, Any]:
    assert isinstance(error.instance, dict)
    return error.instance


def _missing_keys(document: YamlDocument, path: KeyPath, keys: list[str]) -> Iterator[Problem]:
    for key in keys:
        where = f" in {dotted(path)}" if path else ""
        yield document.problem((*path, key), f"missing key '{key}'{where}")


def _unknown_keys(document: YamlDocument, path: KeyPath, error: ValidationError) -> Iterator[Problem]:
    known = list(_schema_of(error)["properties"])
    for key in _mapping(error):
        if key in known:
            continue
        close = get_close_matches(key, known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"
        where = f" in {dotted(path)}" if path else ""
        yield document.problem((*path, key), f"unknown key '{key}'{where}", hint)


def _not_among(document: YamlDocument, path: KeyPath, error: ValidationError) -> Problem:
    values: Any = error.validator_value
    allowed = [str(value) for value in values]
    shown = _shown(error.instance, document.raw.get(path, ""))
    close = get_close_matches(str(error.instance), allowed, n=1)
    hint = f"did you mean '{close[0]}'?" if close else None
    return document.problem(path, f"{dotted(path)} must be one of {', '.join(allowed)}, got {shown}", hint)


def _twice(document: YamlDocument, path: KeyPath, error: ValidationError) -> Iterator[Problem]:
    items: Any = error.instance
    for index, item in enumerate(items):
        if item in items[:index]:
            yield document.problem((*path, index), f"{dotted(path)} lists '{item}' twice")


def _shown(value: object, raw: str) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return f"the boolean {raw}"
        case int() | float():
            return f"the number {raw}"
        case str():
            return f"the text '{value}'"
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return f"the date {raw}"
