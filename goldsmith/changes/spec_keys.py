# SPDX-License-Identifier: Apache-2.0
"""The keys of a rendered spec, each with its value as text: what two specs are compared by. No secrets.

A key is a path such as kubelet.version. An entry of a list has its name in it, and is a key itself:
containers[a.test/web:1], containers[a.test/web:1].build, packages[vim].
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from goldsmith.scan import secrets
from goldsmith.spec import secret_words
from goldsmith.spec.document import parse_document

FILE = "spec.yaml"
HIDDEN = "(hidden)"
ORDER = " (order)"  # after the path of a list of named entries: their names in their order
_ITEM = ", "  # between the items of a list in which the order counts
_NAMES = ("ref", "name", "path")  # keys that name an entry of a list
# Lists in which the order has no meaning.
_UNORDERED = frozenset({
    "containers", "elements", "heat-agent.hooks", "packages", "publish.clouds", "publish.share",
    "publish.tags", "verify.allow-secrets", "verify.pods", "verify.tests",
})  # fmt: skip
# After a word of secrets: PASSWORD=x, "password": "x"; after an option: --password x. Not token:1.
_ASSIGNED = re.compile(r"""(["']?\s*=|["']\s*:|:\s|,\s)\s*\S""")
_GIVEN = re.compile(r"\s+\S")


def of_build(folder: Path) -> dict[str, str] | None:
    """Those of the spec that a build folder holds; None where it holds none that can be read."""
    try:
        text = (folder / FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return of_text(text)


def of_text(text: str) -> dict[str, str] | None:
    """Key -> value of a rendered spec, sorted; None for text that is none."""
    document = parse_document(text, lambda line: (FILE, line), in_c=True)
    if document.broken or not isinstance(document.data, dict):
        return None
    return dict(sorted((path, _hidden(word, value)) for path, word, value in _flat("", "", document.data)))


def is_hidden(value: str | None) -> bool:
    """A value that is not shown, in whole or in part: two of them may differ though they look alike."""
    return value is not None and HIDDEN in value


def only_order(key: str, old: str | None, new: str | None) -> bool:
    """False for the order of a list that lost or gained entries: those say so themselves."""
    if not key.endswith(ORDER):
        return True
    return old is not None and new is not None and sorted(old.split(_ITEM)) == sorted(new.split(_ITEM))


_Flat = Iterator[tuple[str, str, str]]  # path, the word that says what the value is, value


def _flat(path: str, word: str, value: Any) -> _Flat:  # noqa: ANN401 - YAML holds anything
    if isinstance(value, Mapping) and value:
        for key, each in value.items():  # {name: A, value: 1} is a variable A
            yield from _flat(
                f"{path}.{key}" if path else str(key), word if key == "value" else str(key), each
            )
    elif isinstance(value, list) and value:
        yield from _flat_list(path, word, value)
    else:
        yield path, word, _text(value)


def _flat_list(path: str, word: str, items: Sequence[Any]) -> _Flat:
    names = [_name(item) for item in items]
    if all(not isinstance(item, (Mapping, list)) for item in items):
        if path in _UNORDERED:
            yield from ((f"{path}[{_text(item)}]", word, _text(item)) for item in items)
        else:
            yield path, word, _ITEM.join(map(_text, items))
    elif all(names) and len(set(names)) == len(names):
        for name, item in zip(names, items, strict=True):
            yield from _named(f"{path}[{name}]", str(name), item)
        if path not in _UNORDERED:
            yield path + ORDER, "", _ITEM.join(map(str, names))
    else:
        for index, item in enumerate(items):
            yield from _flat(f"{path}[{index}]", word, item)


def _named(path: str, name: str, item: Mapping[str, Any]) -> _Flat:
    """An entry of a list, and its keys; the one that names it is in the path already."""
    yield path, "", name
    rest = {key: value for key, value in item.items() if not (key in _NAMES and value == name)}
    if rest:
        yield from _flat(path, name, rest)


def _name(item: Any) -> str | None:  # noqa: ANN401 - YAML holds anything
    """What names an entry of a list: also the metadata of a pod."""
    if not isinstance(item, Mapping):
        return None
    metadata = item.get("metadata")
    named = {**(metadata if isinstance(metadata, Mapping) else {}), **item}
    return next((named[key] for key in _NAMES if isinstance(named.get(key), str)), None)


def _text(value: Any) -> str:  # noqa: ANN401 - YAML holds anything
    """Text as it is, if one line can show it; all else as JSON."""
    if isinstance(value, str) and value.isprintable() and value.strip() == value != "":
        return value
    return json.dumps(value, default=str)


def _hidden(word: str, value: str) -> str:
    """The value without the secrets that may be in it."""
    shown = secret_words.LOGIN_IN_URL.sub(f"://{HIDDEN}@", value)
    is_text = value not in {"true", "false", "null"} and not value.isdigit()
    if is_text and (secret_words.WORD.search(word) or _is_assigned(shown) or secrets.in_text(shown)):
        return HIDDEN
    return shown


def _is_assigned(text: str) -> bool:
    """A value follows a word of secrets. Words first: one pattern for both takes quadratic time."""
    return any(
        secret_words.WORD.search(word[0])
        and (
            _ASSIGNED.match(text, word.end())
            or (text.startswith("-", max(word.start() - 1, 0)) and _GIVEN.match(text, word.end()))
        )
        for word in re.finditer(r"\w+", text)
    )
