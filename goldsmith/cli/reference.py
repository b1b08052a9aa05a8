# SPDX-License-Identifier: Apache-2.0
"""Publish the schemas: goldsmith/schema/NAME.schema.json and a page of docs/reference/ for each document.

Also goldsmith/cli/words/vocabulary.json, by which words are completed.
`python -m goldsmith.cli.reference` writes them.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import goldsmith
from goldsmith.cli import collection
from goldsmith.cli.published_schemas import SUFFIX
from goldsmith.cli.words import values
from goldsmith.core import documents, paths
from goldsmith.core.documents import Document

PAGES = "docs/reference"
_MADE = "<!-- Made from the classes in goldsmith/ by: python -m goldsmith.cli.reference -->\n"


def kinds() -> list[type[Document]]:
    """Every class of document in the package, by the name of its schema."""
    for module in pkgutil.walk_packages(goldsmith.__path__, "goldsmith."):
        if ".suites" not in module.name:
            importlib.import_module(module.name)
    return [kind for kind in documents.kinds() if kind.__module__.startswith("goldsmith.")]


def name_of(kind: type[Document]) -> str:
    """'images-lock' for goldsmith.images-lock."""
    return kind.SCHEMA.removeprefix("goldsmith.")


def files() -> dict[str, str]:
    """Path below the checkout -> content, of every schema and page."""
    found = {}
    for kind in kinds():
        name, schema = name_of(kind), documents.json_schema(kind)
        found[f"goldsmith/schema/{name}{SUFFIX}"] = json.dumps(schema, indent=2) + "\n"
        found[f"{PAGES}/{name}.md"] = page(kind, schema)
    found[f"{PAGES}/README.md"] = _index()
    words = values.vocabulary(
        collection.namespace.tasks, collection.contexts(), collection.of(*collection.IN_A_CHECKOUT).tasks
    )
    found["goldsmith/cli/words/vocabulary.json"] = json.dumps(words, indent=1) + "\n"
    return found


def page(kind: type[Document], schema: Mapping[str, Any]) -> str:
    """The reference page of a document, as Markdown."""
    lines = [
        f"# {kind.SCHEMA}", "", _MADE,
        f"{schema.get('description', '')} Version {kind.VERSION}.", "",
        f"Schema: `scripts/inv schema {name_of(kind)}`. Class: `{kind.__module__}.{kind.__name__}`.", "",
        *_table(schema),
    ]  # fmt: skip
    for part, rule in schema.get("$defs", {}).items():
        said = _table(rule) if "properties" in rule else [f"{_type(rule)}."]
        lines += ["", f"## {part}", "", *([rule["description"], ""] if "description" in rule else []), *said]
    return "\n".join(lines) + "\n"


def _index() -> str:
    rows = [f"| [{name_of(kind)}]({name_of(kind)}.md) | {_description(kind)} |" for kind in kinds()]
    head = [
        "# Documents", "", _MADE,
        "Every JSON document that goldsmith writes, and every answer to `--json`. Fields may be added within",
        "a version; readers ignore keys that they do not know. `scripts/inv schema NAME` prints a schema.",
        "", "| document | what it is |", "|---|---|",
    ]  # fmt: skip
    return "\n".join([*head, *rows]) + "\n"


def _description(kind: type[Document]) -> str:
    return str(documents.json_schema(kind).get("description", "")).split("\n\n")[0].replace("\n", " ")


def _table(rule: Mapping[str, Any]) -> Iterator[str]:
    yield "| key | type | what it holds |"
    yield "|---|---|---|"
    required = rule.get("required", ())
    for key, child in rule.get("properties", {}).items():
        optional = "" if key in required else " (optional)"
        yield f"| `{key}` | {_type(child)}{optional} | {child.get('description', '')} |"


def _type(rule: Mapping[str, Any]) -> str:
    if "$ref" in rule:
        name = rule["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in rule:
        return f"`{rule['const']}`"
    if "enum" in rule:
        return " or ".join(f"`{value}`" for value in rule["enum"])
    if "anyOf" in rule:
        return " or ".join(_type(each) for each in rule["anyOf"])
    kind = str(rule.get("type", "any"))
    if "prefixItems" in rule:
        return f"list [{', '.join(_type(each) for each in rule['prefixItems'])}]"
    if kind == "array":
        return f"list of {_type(rule.get('items', {}))}"
    if kind == "object" and isinstance(rule.get("additionalProperties"), Mapping):
        return f"map to {_type(rule['additionalProperties'])}"
    return kind


def write(root: Path) -> None:
    """Write all files below a checkout, and remove those of documents that are no more."""
    wanted = files()
    old = [*(root / "goldsmith/schema").glob(f"*{SUFFIX}"), *(root / PAGES).glob("*.md")]
    for path in old:
        if str(path.relative_to(root)) not in wanted and path.name != f"image-spec{SUFFIX}":
            path.unlink()
    for name, text in wanted.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(paths.project_root())
