# SPDX-License-Identifier: Apache-2.0
"""The published JSON schemas in goldsmith/schema/, by name."""

from __future__ import annotations

import difflib
from pathlib import Path

from goldsmith.errors import SpecError

SUFFIX = ".schema.json"


def folder() -> Path:
    """Where the schemas are."""
    return Path(__file__).parent.parent / "schema"


def names() -> list[str]:
    """The names of all documents with a schema."""
    return sorted(path.name.removesuffix(SUFFIX) for path in folder().glob(f"*{SUFFIX}"))


def text(name: str) -> str:
    """A schema as JSON, or all names where the name is empty. Raises SpecError for an unknown name."""
    known = names()
    if not name:
        return "".join(f"{each}\n" for each in known)
    bare = name.removeprefix("goldsmith.")
    if bare not in known:
        close = difflib.get_close_matches(bare, known, 1)
        hint = f"did you mean {close[0]!r}?" if close else "list them: scripts/inv schema"
        raise SpecError(f"no document is called {name!r}", hint=hint)
    return (folder() / f"{bare}{SUFFIX}").read_text()
