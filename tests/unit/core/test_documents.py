# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import jsonschema
import msgspec
import pytest

from goldsmith.core import documents
from goldsmith.core.documents import Document, about
from goldsmith.errors import BuildError, PublishError


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    OPTIONAL: ClassVar[frozenset[str]] = frozenset({"note"})

    size: Annotated[int, about("Bytes.", ge=0)]
    note: Annotated[str | None, about("What is odd about it.")] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample(Document):
    """A sample."""

    SCHEMA: ClassVar[str] = "goldsmith.sample-list"

    parts: Annotated[tuple[Part, ...], about("The parts.")]
    owner: Annotated[str | None, about("Who has it.")] = None


WHOLE = {
    "schema": "goldsmith.sample-list", "version": 1, "owner": None,
    "parts": [{"size": 1}, {"size": 2, "note": "odd"}],
}  # fmt: skip


def test_a_document_comes_back_as_it_was_written(tmp_path: Path) -> None:
    document = Sample(parts=(Part(size=1), Part(size=2, note="odd")))

    document.write(tmp_path / "x.json")

    assert json.loads((tmp_path / "x.json").read_text()) == document.as_dict() == WHOLE
    assert Sample.read(tmp_path / "x.json") == document


@dataclass(frozen=True, kw_only=True, slots=True)
class Hyphenated(Document):
    SCHEMA: ClassVar[str] = "goldsmith.hyphenated"
    KEYS: ClassVar[Mapping[str, str]] = {"base_image": "base-image"}

    name: Annotated[str, about("Its name.")]
    base_image: Annotated[str, about("Its base.")]


def test_a_key_may_be_no_name_in_python() -> None:
    data = {"schema": "goldsmith.hyphenated", "version": 1, "name": "a", "base-image": "b"}

    document = Hyphenated.parse(data, "x.json")
    schema = documents.json_schema(Hyphenated)

    assert document == Hyphenated(name="a", base_image="b")
    assert document.as_dict() == data
    jsonschema.validate(data, schema)
    assert schema["properties"]["base-image"]["description"] == "Its base."
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({key: data[key] for key in data if key != "base-image"}, schema)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer(Document):
    """An answer whose fields depend on how it went."""

    SCHEMA: ClassVar[str] = "goldsmith.answer"

    error: Annotated[str | None, about("Why it failed.")]
    seconds: Annotated[float | msgspec.UnsetType | None, about("How long it took.")] = msgspec.UNSET


def test_a_field_that_is_unset_is_left_out_and_one_that_is_null_is_not() -> None:
    head = {"schema": "goldsmith.answer", "version": 1}

    assert Answer(error="no").as_dict() == {**head, "error": "no"}
    assert Answer(error=None, seconds=None).as_dict() == {**head, "error": None, "seconds": None}
    schema = documents.json_schema(Answer)
    assert schema["required"] == ["schema", "version", "error"]
    jsonschema.validate(Answer(error="no").as_dict(), schema)


def test_keys_that_a_later_release_added_are_passed_over() -> None:
    added = {**WHOLE, "colour": "red", "parts": [{"size": 1, "weight": 3}]}

    assert Sample.parse(added, "x.json").parts == (Part(size=1),)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "cannot use the sample list x.json: it is no JSON object"),
        ({"parts": []}, "x.json is not a goldsmith.sample-list document: schema None, version None"),
        ({**WHOLE, "schema": "a.b"}, "x.json is not a goldsmith.sample-list document: "
                                    "schema 'a.b', version 1"),
        ({**WHOLE, "version": 2}, "x.json has version 2 of goldsmith.sample-list; this goldsmith reads "
                                  "versions up to 1"),
        ({**WHOLE, "parts": [{"size": "1"}]},
         "cannot use the sample list x.json: parts[0].size: expected int, got str"),
        ({"schema": "goldsmith.sample-list", "version": 1},
         "cannot use the sample list x.json: object missing required field parts"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(data: Any, message: str) -> None:
    with pytest.raises(PublishError) as e:
        Sample.parse(data, "x.json", error=PublishError)

    assert str(e.value) == message


@pytest.mark.parametrize("text", ["{", "\xff", "[" * 100_000])
def test_a_file_that_is_no_json_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="latin-1")

    with pytest.raises(BuildError, match=r"cannot read the sample list .*x\.json: no JSON"):
        Sample.read(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="No such file"):
        Sample.read(tmp_path / "x.json")


def test_the_schema_holds_for_what_is_written_and_describes_each_key() -> None:
    schema = documents.json_schema(Sample)

    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(WHOLE, schema)
    assert schema["title"] == "goldsmith.sample-list"
    assert schema["properties"]["parts"]["description"] == "The parts."
    for bad in ({**WHOLE, "version": 2}, {**WHOLE, "parts": [{"size": -1}]}, {**WHOLE, "parts": None}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema)
