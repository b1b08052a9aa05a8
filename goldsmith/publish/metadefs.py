# SPDX-License-Identifier: Apache-2.0
"""Check properties of an image against the metadata definitions of Glance, which are JSON schemas."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema

from goldsmith.core import progress
from goldsmith.errors import PublishError
from goldsmith.publish.glance import Glance

_DEFINED = ("hw_", "os_")  # a property that begins so, and that Glance does not define, is likely misspelt
_FREE = ("os_distro", "os_version", "os_admin_user", "os_hidden")


def require(properties: Mapping[str, str], glance: Glance) -> None:
    """Raise PublishError, naming every property that Glance's definitions do not allow."""
    known = glance.property_definitions()
    if not known:
        progress.note(f"{glance.cloud}: Glance has no metadata definitions; properties are not checked")
        return
    found = list(problems(properties, known))
    if found:
        listed = "".join(f"\n  | {line}" for line in found)
        raise PublishError(
            f"{glance.cloud}: Glance's definitions do not allow these properties:{listed}",
            hint="see the key publish.properties",
        )


def problems(properties: Mapping[str, str], definitions: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A sentence for each property that breaks its definition, or looks misspelt."""
    for name, text in sorted(properties.items()):
        if name in definitions:
            yield from _broken(name, text, definitions[name])
        elif name.startswith(_DEFINED) and name not in _FREE:
            close = difflib.get_close_matches(name, definitions, n=1, cutoff=0.85)
            if close:
                yield f"{name} is not known; did you mean {close[0]}?"


def _broken(name: str, text: str, definition: Mapping[str, Any]) -> Iterator[str]:
    rules = {
        key: definition[key] for key in ("type", "enum", "pattern", "minimum", "maximum") if key in definition
    }
    value = _value(text, str(rules.get("type", "string")))
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(rules).iter_errors(value))
    if error is not None:
        yield f"{name}: {error.message}"


def _value(text: str, kind: str) -> object:
    """Glance stores text: the value of that type which it stands for, else the text itself."""
    match kind:
        case "boolean" if text.lower() in ("true", "false", "yes", "no"):
            return text.lower() in ("true", "yes")
        case "integer" if text.lstrip("-").isdecimal():
            return int(text)
        case "number":
            try:
                return float(text)
            except ValueError:
                return text
        case "array":
            return text.split(",")
    return text
