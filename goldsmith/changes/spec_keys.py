# SPDX-License-Identifier: Apache-2.0
"""The keys of a rendered spec, each with its value as text: what two specs are compared by.

A digest stands for a value that may be secret: environment, arguments and commands of pods, and what its name
or the text itself says. It has 16 bits: many values have the same, so it says little of which one it was.

A key is a path such as kubelet.version. An entry of a list has its name in it, and is a key itself:
containers[a.test/web:1], containers[a.test/web:1].build, packages[vim].
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from goldsmith.scan import secrets
from goldsmith.spec import secret_words
from goldsmith.spec.document import parse_document

FILE = "spec.yaml"
ORDER = " (order)"  # after the path of a list of named entries: their names in their order
_ITEM = ", "  # between the items of a list in which the order counts
_NAMES = ("ref", "name", "path")  # keys that name an entry of a list
_DIGITS = 4  # of the digest of a hidden value: more of them would tell more of a short password
_SETTINGS = frozenset({"allow-secrets", "keyring"})  # keys of the spec itself, which hold no secrets
_POD = ("verify", "pods", "spec")
_OF_COMMANDS = frozenset({"args", "command", "env", "httpHeaders"})  # anywhere in a pod's spec
# Lists in which the order has no meaning.
_UNORDERED = frozenset({
    "containers", "elements", "heat-agent.hooks", "packages", "publish.clouds", "publish.share",
    "publish.tags", "verify.allow-secrets", "verify.pods", "verify.tests",
})  # fmt: skip
# After a likely word: PASSWORD=x, "password": "x"; after an option: --password x. Not token:1.
_ASSIGNED = re.compile(r"""(["']?\s*=|["']\s*:|:\s|,\s)\s*\S""")
_GIVEN = re.compile(r"\s+\S")
_LIKELY = re.compile(secret_words.LIKELY, re.IGNORECASE)
_LOGIN = re.compile(r"://[^/\s@]+@")
_OPTION = re.compile(r"(?<!\S)-(?:p\s*\S|u\s*\S+:\S)")  # mysql -pPASSWORD, curl -u USER:PASSWORD


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
    return dict(sorted(_shown(*each) for each in _flat("", (), document.data)))


def only_order(key: str, old: str | None, new: str | None) -> bool:
    """False for the order of a list that lost or gained entries: those say so themselves."""
    if not key.endswith(ORDER):
        return True
    return old is not None and new is not None and sorted(old.split(_ITEM)) == sorted(new.split(_ITEM))


_Words = tuple[str, ...]  # the keys that lead to a value: they say what it is
_Flat = Iterator[tuple[str, _Words, str]]  # path, its words, value


def _flat(path: str, words: _Words, value: Any) -> _Flat:  # noqa: ANN401 - YAML holds anything
    if isinstance(value, Mapping) and value:
        yield from _flat_members(path, words, _name(value), value)
    elif isinstance(value, list) and value:
        yield from _flat_list(path, words, value)
    else:
        yield path, words, _text(value)


def _flat_members(path: str, words: _Words, name: str | None, members: Mapping[Any, Any]) -> _Flat:
    for key, each in members.items():  # {name: A, value: 1} is a variable A
        word = name if key == "value" and name else str(key)
        yield from _flat(f"{path}.{key}" if path else str(key), (*words, word), each)


def _flat_list(path: str, words: _Words, items: Sequence[Any]) -> _Flat:
    names = [_name(item) for item in items]
    if all(not isinstance(item, (Mapping, list)) for item in items):
        if path in _UNORDERED:
            yield from ((f"{path}[{_text(item)}]", words, _text(item)) for item in items)
        else:
            yield path, words, _ITEM.join(map(_text, items))
    elif all(names) and len(set(names)) == len(names):
        for name, item in zip(names, items, strict=True):
            yield from _named(f"{path}[{name}]", words, str(name), item)
        if path not in _UNORDERED:
            yield path + ORDER, (), _ITEM.join(map(str, names))
    else:
        for index, item in enumerate(items):
            yield from _flat(f"{path}[{index}]", words, item)


def _named(path: str, words: _Words, name: str, item: Mapping[str, Any]) -> _Flat:
    """An entry of a list, and its keys; the one that names it is in the path already."""
    yield path, (), name
    rest = {key: value for key, value in item.items() if not (key in _NAMES and value == name)}
    yield from _flat_members(path, words, name, rest)


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


def _shown(path: str, words: _Words, value: str) -> tuple[str, str]:
    """Path and value without the secrets that may be in them; an item of a list stands in its path, too."""
    shown = _LOGIN.sub(lambda login: f"://{_digest(path, login[0])}@", value)
    if _is_secret(words, shown):
        shown = _digest(path, value)
    item = f"[{value}]"
    return (f"{path.removesuffix(item)}[{shown}]" if path.endswith(item) else path), shown


def _is_secret(words: _Words, value: str) -> bool:
    if words[: len(_POD)] == _POD and not _OF_COMMANDS.isdisjoint(words):
        return True
    if value in {"true", "false", "null"}:
        return False
    named = any(_LIKELY.search(word) for word in words if word not in _SETTINGS)
    return bool(named or _is_assigned(value) or _OPTION.search(value) or secrets.in_text(value))


def _digest(path: str, value: str) -> str:
    """What a secret is compared by; its path is the salt, so elsewhere the same one has another."""
    return f"(hidden {hashlib.sha256(json.dumps([path, value]).encode()).hexdigest()[:_DIGITS]})"


def _is_assigned(text: str) -> bool:
    """A value follows a word of secrets. Words first: one pattern for both takes quadratic time."""
    return any(
        _LIKELY.search(word[0])
        and (
            _ASSIGNED.match(text, word.end())
            or (text.startswith("-", max(word.start() - 1, 0)) and _GIVEN.match(text, word.end()))
        )
        for word in re.finditer(r"\w+", text)
    )
