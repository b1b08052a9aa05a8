# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import pytest

from goldsmith.cli import reference
from goldsmith.core import documents, paths
from goldsmith.core.documents import Document

KINDS = reference.kinds()


@pytest.fixture(scope="module")
def files() -> Mapping[str, str]:
    """What the classes make; to make it takes half a second."""
    return reference.files()


def test_the_documents_are_found() -> None:
    names = {reference.name_of(kind) for kind in KINDS}

    assert names >= {
        "manifest",
        "images-lock",
        "packages",
        "lock",
        "expectations",
        "timings",
        "verdict",
        "record",
    }
    assert len(KINDS) == len({kind.SCHEMA for kind in KINDS}) > 30


def test_the_committed_schemas_and_pages_are_what_the_classes_make(files: Mapping[str, str]) -> None:
    stale = [
        name
        for name, text in files.items()
        if not (paths.project_root() / name).exists() or (paths.project_root() / name).read_text() != text
    ]

    assert not stale, "run: python -m goldsmith.cli.reference"


def test_nothing_is_published_that_no_class_makes(files: Mapping[str, str]) -> None:
    root = paths.project_root()
    published = {*root.glob("goldsmith/schema/*.json"), *root.glob("docs/reference/*.md")}

    left = {str(path.relative_to(root)) for path in published} - files.keys()

    assert left == {"goldsmith/schema/image-spec.schema.json"}


def parts(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield "", schema
    yield from schema.get("$defs", {}).items()


@pytest.mark.parametrize("kind", KINDS, ids=reference.name_of)
def test_a_schema_is_valid_and_describes_every_key_in_a_sentence(kind: type[Document]) -> None:
    schema = documents.json_schema(kind)

    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["description"]
    for part, rule in parts(schema):
        for key, child in rule.get("properties", {}).items():
            assert child.get("description", "").endswith("."), f"{part}.{key}"


def test_a_page_shows_lists_of_a_fixed_length(files: Mapping[str, str]) -> None:
    text = files["docs/reference/expectations.md"]

    assert "| `packages` | list of list [string, string, string] |" in text


def test_a_page_lists_keys_and_parts(files: Mapping[str, str]) -> None:
    found = files
    text = found["docs/reference/manifest.md"]

    assert "| `disks` | list of [Disk](#disk) | The disk images; the first one was verified. |" in text
    assert "## Disk" in text
    assert json.loads(files["goldsmith/schema/manifest.schema.json"])["title"] == "goldsmith.manifest"
