# SPDX-License-Identifier: Apache-2.0
"""Hold real documents against the schemas that are published for them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema

from goldsmith.cli import published_schemas


def check(data: Mapping[str, Any]) -> None:
    """Raise jsonschema.ValidationError where a document is not what its schema says."""
    name = str(data["schema"]).removeprefix("goldsmith.")
    schema = json.loads(published_schemas.text(name))
    jsonschema.Draft202012Validator(schema).validate(data)


def check_folder(folder: Path) -> set[str]:
    """Check every JSON document of ours in a folder; returns the names of their schemas."""
    found = set()
    for path in sorted(folder.glob("*.json")):
        data = json.loads(path.read_bytes())
        if isinstance(data, dict) and "schema" in data:
            check(data)
            found.add(str(data["schema"]))
    return found
