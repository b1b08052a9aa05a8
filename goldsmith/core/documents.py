# SPDX-License-Identifier: Apache-2.0
"""Documents that goldsmith writes and reads: frozen dataclasses with a schema's name and version.

Within a version fields may be added: a reader passes over keys that it does not know, and a field that
was added later has a default. A document of a newer version is refused.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import msgspec

from goldsmith.core import files
from goldsmith.errors import BuildError, GoldsmithError

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def about(description: str, **constraints: Any) -> msgspec.Meta:  # noqa: ANN401 - msgspec's own
    """The annotation of a field: what it holds, in one sentence. constraints: of msgspec.Meta."""
    return msgspec.Meta(description=description, **constraints)


class Document:
    """Base of the classes that are a whole document; their parts are plain frozen dataclasses.

    OPTIONAL, also of a part: fields that are left out of the JSON where they are None. KEYS: fields
    whose key in the JSON is no name in Python, such as base-image.
    """

    SCHEMA: ClassVar[str]
    VERSION: ClassVar[int] = 1
    OPTIONAL: ClassVar[frozenset[str]] = frozenset()
    KEYS: ClassVar[Mapping[str, str]] = MappingProxyType({})
    __slots__ = ()

    @classmethod
    def read(cls, path: Path, *, error: type[GoldsmithError] = BuildError) -> Self:
        """The document in a JSON file. Raises error where it cannot be read or is of a newer version."""
        try:
            data = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as e:
            why = e.strerror if isinstance(e, OSError) else f"no JSON: {e}"
            raise error(f"cannot read the {title(cls)} {path}: {why}") from e
        return cls.parse(data, str(path), error=error)

    @classmethod
    def parse(cls, data: object, origin: str, *, error: type[GoldsmithError] = BuildError) -> Self:
        """The document in JSON data. origin: where they are from, for messages. Raises error."""
        checked = _checked(cls, data, origin, error)
        try:
            fields = _renamed(checked, {key: field for field, key in cls.KEYS.items()})
            return msgspec.convert(fields, cls, dec_hook=_path_of)
        except (msgspec.ValidationError, RecursionError) as e:
            raise error(f"cannot use the {title(cls)} {origin}: {_reason(e)}") from e

    def as_dict(self) -> dict[str, Any]:
        """The document as JSON data, its schema and version among them."""
        return {"schema": self.SCHEMA, "version": self.VERSION, **_renamed(_fields(self), self.KEYS)}

    def write(self, path: Path) -> None:
        """Write the document as JSON with sorted keys, whole or not at all."""
        files.write_json(path, self.as_dict())


def title(kind: type[Document]) -> str:
    """What messages call a document: 'goldsmith.images-lock' is an 'images lock'."""
    return kind.SCHEMA.removeprefix("goldsmith.").replace("-", " ")


def as_data(value: object) -> Any:  # noqa: ANN401 - JSON
    """Documents and their parts, mappings, sequences, enumerations and paths as JSON data.

    Fields that are msgspec.UNSET are left out.
    """
    if isinstance(value, Document):
        return value.as_dict()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    if isinstance(value, Mapping):
        return {str(key): as_data(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_data(each) for each in value]
    if isinstance(value, enum.Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value


def _fields(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
    left_out: frozenset[str] = getattr(value, "OPTIONAL", frozenset())
    found = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
    return {
        name: as_data(each)
        for name, each in found
        if each is not msgspec.UNSET and (each is not None or name not in left_out)
    }


def json_schema(kind: type[Document]) -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a document, with a description of each key."""
    _, parts = msgspec.json.schema_components(
        [kind], ref_template="#/$defs/{name}", schema_hook=_schema_of_path
    )
    for each in {kind, *kinds()}:
        if each.__name__ in parts:
            parts[each.__name__] = _with_version(each, parts[each.__name__])
    whole = parts.pop(kind.__name__)
    return {"$schema": DRAFT, **whole, "title": kind.SCHEMA, **({"$defs": parts} if parts else {})}


def _schema_of_path(kind: type) -> dict[str, Any]:
    if kind is Path:
        return {"type": "string"}
    raise NotImplementedError


def _path_of(kind: type, value: object) -> Path:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError


def kinds() -> list[type[Document]]:
    """Every class of document that was imported so far, by the name of its schema."""
    found, left = dict[str, type[Document]](), [Document]
    while left:
        below = left.pop().__subclasses__()
        left += below
        # of a dataclass with slots there are two: the one that its module knows is meant
        found |= {kind.SCHEMA: kind for kind in below if _is_its_modules(kind)}
    return [found[schema] for schema in sorted(found)]


def _is_its_modules(kind: type[Document]) -> bool:
    return getattr(sys.modules[kind.__module__], kind.__name__, None) is kind and hasattr(kind, "SCHEMA")


def _with_version(kind: type[Document], part: Mapping[str, Any]) -> dict[str, Any]:
    fixed = {
        "schema": {"description": "Name of this schema.", "const": kind.SCHEMA},
        "version": {"description": "Version of this schema.", "const": kind.VERSION},
    }
    return {
        **part,
        "properties": {**fixed, **_renamed(part.get("properties", {}), kind.KEYS)},
        "required": [*fixed, *(kind.KEYS.get(field, field) for field in part.get("required", ()))],
    }  # fmt: skip


def _checked(
    kind: type[Document], data: object, origin: str, error: type[GoldsmithError]
) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise error(f"cannot use the {title(kind)} {origin}: it is no JSON object")
    schema, version = data.get("schema"), data.get("version")
    if schema != kind.SCHEMA or not isinstance(version, int):
        raise error(f"{origin} is not a {kind.SCHEMA} document: schema {schema!r}, version {version!r}")
    if version > kind.VERSION:
        raise error(
            f"{origin} has version {version} of {kind.SCHEMA}; this goldsmith reads versions up to "
            f"{kind.VERSION}",
            hint="use the goldsmith that wrote it, or a newer one",
        )
    return data


def _renamed(data: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in data.items()}


def _reason(failure: msgspec.ValidationError | RecursionError) -> str:
    """'Expected `int`, got `str` - at `$.disks[0].size`' -> 'disks[0].size: expected int, got str'."""
    text, _, where = str(failure).replace("`", "").partition(" - at $")
    text = text[:1].lower() + text[1:]
    return f"{where.lstrip('.')}: {text}" if where.strip(".") else text
