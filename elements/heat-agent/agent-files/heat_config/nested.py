# SPDX-License-Identifier: Apache-2.0
"""Parse JSON in which a part nests more deeply than the parser follows: the other parts are still read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

TOO_DEEP = object()  # in the place of such a part; no JSON can be made of it
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},]', re.DOTALL)


def loads(text: str, levels: int) -> Any:  # noqa: ANN401 - any JSON
    """The value; a part of it that is too deep for the parser is TOO_DEEP.

    levels: how far below the value such a part is looked for: 0 is the value itself. Raises ValueError.
    """
    try:
        return json.loads(text)
    except RecursionError:
        if levels == 0:
            return TOO_DEEP
    if text.lstrip().startswith("["):
        return [loads(part, levels - 1) for part in _parts(text)]
    return dict(_member(part, levels - 1) for part in _parts(text))


def _member(text: str, levels: int) -> tuple[str, Any]:
    name, end = json.JSONDecoder().raw_decode(text.lstrip())
    return name, loads(text.lstrip()[end:].lstrip().removeprefix(":"), levels)


def _parts(text: str) -> Iterator[str]:
    """The items of a list, or the members of an object, as text."""
    depth = start = 0
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            depth += 1
            start = token.end() if depth == 1 else start
        elif token[0] in "]}":
            depth -= 1
        if depth == 0 or (depth == 1 and token[0] == ","):
            if part := text[start : token.start()].strip():
                yield part
            start = token.end()
    if depth != 0:
        raise ValueError("it is no JSON: a bracket is not closed")
