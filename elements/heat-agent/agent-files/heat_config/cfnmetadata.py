# SPDX-License-Identifier: Apache-2.0
"""AWS::CloudFormation::Init as Heat hands it to a server: which configs are meant, and whether all is known.

The format: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-init.html
What is not known here is refused before anything is changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

KEY = "AWS::CloudFormation::Init"
DEFAULT_SET = "default"
_ONLY_CONFIG = "config"  # the one that is meant where there are no sets


class _Form(NamedTuple):
    """What a value must be, in words and as a test."""

    words: str
    fits: Callable[[Any], bool]


def _is_scalar(value: object) -> bool:
    return isinstance(value, (str, int, float))


def _is_list(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_scalar, value))


_ANY = _Form("anything", lambda _: True)
_TEXT = _Form("text", lambda value: isinstance(value, str))
_SCALAR = _Form("text or a number", _is_scalar)
_LIST = _Form("a list of text", _is_list)
_WORDS = _Form("text or a list of it", lambda value: _is_scalar(value) or _is_list(value))
_MODE = _Form("octal digits", lambda value: re.fullmatch("[0-7]*", str(value)) is not None)
_ENV = _Form(
    "a mapping of text", lambda value: isinstance(value, Mapping) and all(map(_is_scalar, value.values()))
)
_LISTS = _Form(
    "a mapping of lists", lambda value: isinstance(value, Mapping) and all(map(_is_list, value.values()))
)

# The sections of a config and the keys of their entries, or the form of an entry that is no mapping.
_ENTRIES: Mapping[str, Mapping[str, _Form] | _Form] = {
    "packages": _Form("a list of versions", lambda value: not value or _is_scalar(value) or _is_list(value)),
    "groups": {"gid": _SCALAR},
    "users": {"groups": _LIST, "uid": _SCALAR, "homeDir": _TEXT},
    "sources": _TEXT,
    "files": {
        "content": _ANY, "source": _TEXT, "encoding": _TEXT, "owner": _SCALAR, "group": _SCALAR, "mode": _MODE
    },
    "commands": {"command": _WORDS, "env": _ENV, "cwd": _TEXT, "test": _WORDS, "ignoreErrors": _SCALAR},
    "services": {
        "ensureRunning": _SCALAR, "enabled": _SCALAR, "packages": _LISTS, "sources": _LIST, "files": _LIST,
        "commands": _LIST,
    },
}  # fmt: skip
_KINDS: Mapping[str, tuple[str, ...]] = {"packages": ("apt",), "services": ("systemd", "sysvinit")}

_ONE_KEY = re.compile(r"(?:'([^']+)'|([^.]+))(?:\.|$)")
_KEYS = re.compile(rf"(?:{_ONE_KEY.pattern})+")

Config = Mapping[str, Mapping[str, Any]]


class RefusedError(Exception):
    """The metadata is missing, is not valid, or has a key that is not supported."""


def read(path: Path) -> Mapping[str, Any]:
    """The value of AWS::CloudFormation::Init in a file of metadata. Raises RefusedError."""
    return init_of(load(path), str(path))


def load(path: Path) -> object:
    """The JSON of a file. Raises RefusedError."""
    try:
        return json.loads(path.read_bytes())
    except OSError as e:
        raise RefusedError(f"{path}: {e.strerror}") from None
    except (ValueError, RecursionError) as e:
        raise RefusedError(f"{path}: no JSON: {e}") from None


def init_of(metadata: object, where: str) -> Mapping[str, Any]:
    """The value of AWS::CloudFormation::Init in metadata, which may be JSON itself. Raises RefusedError."""
    if not isinstance(metadata, Mapping) or KEY not in metadata:
        raise RefusedError(f"{where} has no {KEY}")
    init = metadata[KEY]
    try:
        return _mapping(json.loads(init) if isinstance(init, str) else init, KEY)
    except (ValueError, RecursionError) as e:
        raise RefusedError(f"{where}: no JSON: {e}") from None


def split_key(text: str) -> tuple[str, ...]:
    """KEY.KEY in parts; a key with a dot is in single quotes, as with heat-cfntools. Raises RefusedError."""
    if not _KEYS.fullmatch(text):
        raise RefusedError(f"{text!r} is no key: write KEY.KEY, and 'KEY' in quotes if it has a dot")
    return tuple(quoted or plain for quoted, plain in _ONE_KEY.findall(text))


def at(value: object, keys: Sequence[str]) -> object:
    """What is there in nested mappings; None for nothing."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def configs(init: Mapping[str, Any], sets: list[str]) -> list[tuple[str, Config]]:
    """The configs of these sets in order, each with its name; checks all of them. Raises RefusedError."""
    if "configSets" in init:
        known = _mapping(init["configSets"], "configSets")
        names = [name for set_ in sets for name in _members(known, set_, ())]
    elif sets == [DEFAULT_SET]:
        names = [_ONLY_CONFIG]
    else:
        raise RefusedError(f"there are no configSets, but {', '.join(sets)} is asked for")
    missing = [name for name in names if name not in init]
    if missing:
        raise RefusedError(f"there is no config {missing[0]!r}")
    return [(name, _checked(init[name], name)) for name in names]


def is_true(value: object) -> bool:
    """As heat-cfntools has it: true, "true", "yes", "1" and 1, in any case of letters."""
    return str(value).strip().lower() in {"true", "yes", "1"}


def _members(sets: Mapping[str, Any], name: str, outer: tuple[str, ...]) -> Iterator[str]:
    if name in outer:
        raise RefusedError(f"the configSet {name!r} has itself for a member")
    if name not in sets:
        raise RefusedError(f"there is no configSet {name!r}")
    members = sets[name]
    for member in members if isinstance(members, list) else [members]:
        if isinstance(member, Mapping) and set(member) == {"ConfigSet"}:
            yield from _members(sets, str(member["ConfigSet"]), (*outer, name))
        else:
            yield str(member)


def _checked(config: object, where: str) -> Config:
    """The config without keys whose value is null: they are as if not there."""
    sections = _mapping(config, where)
    _only(sections, set(_ENTRIES), where)
    return {name: _section(name, entries, f"{where}: {name}") for name, entries in sections.items()}


def _section(section: str, entries: object, where: str) -> Mapping[str, Any]:
    found = _mapping(entries, where)
    if section not in _KINDS:
        return {name: _entry(section, entry, f"{where}: {name}") for name, entry in found.items()}
    _only(found, set(_KINDS[section]), where)
    return {
        kind: {
            name: _entry(section, entry, f"{where}: {name}") for name, entry in _mapping(named, where).items()
        }
        for kind, named in found.items()
    }


def _entry(section: str, value: object, where: str) -> object:
    known = _ENTRIES[section]
    if isinstance(known, _Form):
        _require(known, value, where)
        return value
    entry = {key: each for key, each in _mapping(value, where).items() if each is not None}
    _only(entry, set(known), where)
    for key, each in entry.items():
        _require(known[key], each, f"{where}: {key}")
    if section == "commands" and not entry.get("command"):
        raise RefusedError(f"{where}: there is no command")
    if section == "files":
        if ("content" in entry) == ("source" in entry):
            raise RefusedError(f"{where}: it needs either content or source")
        if entry.get("encoding", "plain") not in ("plain", "base64"):
            raise RefusedError(f"{where}: encoding is plain or base64, not {entry['encoding']!r}")
    return entry


def _require(form: _Form, value: object, where: str) -> None:
    if not form.fits(value):
        raise RefusedError(f"{where}: {form.words} is needed, not {json.dumps(value)[:40]}")


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise RefusedError(f"{where}: a mapping is needed, not {json.dumps(value)[:40]}")
    return value


def _only(found: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(found) - known)
    if unknown:
        raise RefusedError(f"{where}: {unknown[0]!r} is not known here, only {', '.join(sorted(known))}")
