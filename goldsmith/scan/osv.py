# SPDX-License-Identifier: Apache-2.0
"""Database of known vulnerabilities on disk: OSV records in a folder or a zip archive.

Format: https://ossf.github.io/osv-schema/. osv.dev offers one archive for each ecosystem, all.zip.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cvss import CVSS3, CVSS4
from cvss.exceptions import CVSSError
from debian.debian_support import NativeVersion

from goldsmith.errors import ProvenanceError, SpecError

LEVELS = ("unknown", "low", "medium", "high", "critical")  # ascending
_WORDS = {"moderate": "medium", "unimportant": "low", "none": "low"}
_SEMVER = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+.*)?")
_EVENTS = ("introduced", "fixed", "last_affected")
_UNREADABLE = (OSError, ValueError, RecursionError, zipfile.BadZipFile)
_HINT = "name a folder of OSV records, or an archive of them as osv.dev offers it"


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """A vulnerability of a package. fixed: the first version without it, None where there is none."""

    id: str
    level: str
    fixed: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    id: str
    level: str
    affected: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Database:
    """Records by (ecosystem, name)."""

    records: int
    entries: Mapping[tuple[str, str], tuple[_Entry, ...]] = field(default_factory=dict)
    ecosystems: frozenset[str] = frozenset()  # of all records

    def matches(self, ecosystem: str, name: str, version: str) -> list[Match]:
        """Vulnerabilities of a version of a package. Raises ProvenanceError for broken records."""
        found = []
        for entry in self.entries.get((ecosystem, name), ()):
            try:
                hit, fixed = _affected(entry.affected, ecosystem, version)
            except (KeyError, TypeError, ValueError, AttributeError) as e:
                raise ProvenanceError(
                    f"the record {entry.id} of the database is broken: {e}", hint="get the database again"
                ) from e
            if hit:
                found.append(Match(id=entry.id, level=entry.level, fixed=fixed))
        return found


def load(path: Path) -> Database:
    """Read a database. Raises SpecError where there is none, ProvenanceError where no file is a record."""
    if not path.exists():
        raise SpecError(f"there is no vulnerability database {path}", hint=_HINT)
    entries: dict[tuple[str, str], tuple[_Entry, ...]] = {}
    count = 0
    try:
        for record in _records(path):
            if record.get("withdrawn"):
                continue
            name = str(record["id"])
            count += 1
            for affected in record.get("affected", ()):
                package = affected.get("package", {})
                entry = _Entry(id=name, level=_level(record, affected), affected=affected)
                key = (str(package.get("ecosystem", "")), str(package.get("name", "")))
                entries[key] = (*entries.get(key, ()), entry)
    except (*_UNREADABLE, KeyError, TypeError, AttributeError) as e:
        raise ProvenanceError(f"cannot read the vulnerability database {path}: {e}", hint=_HINT) from e
    if not count:
        raise ProvenanceError(f"the vulnerability database {path} holds no record", hint=_HINT)
    ecosystems = frozenset(ecosystem for ecosystem, _ in entries)
    return Database(records=count, entries=entries, ecosystems=ecosystems)


def _records(path: Path) -> Iterator[Mapping[str, Any]]:
    if path.is_dir():
        for file in sorted(path.rglob("*.json")):
            yield json.loads(file.read_bytes())
        for archive in sorted(path.rglob("*.zip")):
            yield from _records(archive)
        return
    with zipfile.ZipFile(path) as archive_:
        for name in sorted(archive_.namelist()):
            if name.endswith(".json"):
                yield json.loads(archive_.read(name))


def _level(record: Mapping[str, Any], affected: Mapping[str, Any]) -> str:
    """The highest of all ratings: the database's own word, or a CVSS vector."""
    ratings = [record.get("database_specific", {}).get("severity")]
    ratings += [affected.get(key, {}).get("severity") for key in ("database_specific", "ecosystem_specific")]
    ratings.append(str(affected.get("ecosystem_specific", {}).get("urgency", "")).rstrip("*"))
    vectors = [*record.get("severity", ()), *affected.get("severity", ())]
    ratings += [_rating(str(vector.get("score", ""))) for vector in vectors]
    words = [str(word).lower() for word in ratings if word]
    levels = [_WORDS.get(word, word) for word in words]
    return max((level for level in levels if level in LEVELS), key=LEVELS.index, default="unknown")


def _rating(vector: str) -> str:
    try:
        if vector.startswith("CVSS:4"):
            return str(CVSS4(vector).severity)
        return str(CVSS3(vector).severities()[0]) if vector.startswith("CVSS:3") else ""
    except CVSSError:
        return ""


def _affected(affected: Mapping[str, Any], ecosystem: str, version: str) -> tuple[bool, str | None]:
    """Whether this version is affected, and what fixes it (evaluation in the OSV schema)."""
    order = _debian if ecosystem.startswith(("Debian", "Ubuntu")) else _semver
    here = order(version)
    for span in affected.get("ranges", ()):
        if span["type"] == "GIT":
            continue
        hit, fixed = _in_range(span["events"], here, order)
        if hit:
            return True, fixed
    return version in affected.get("versions", ()), None


def _in_range(events: Iterable[Mapping[str, str]], here: Any, order: Any) -> tuple[bool, str | None]:  # noqa: ANN401
    hit, fixed = False, None
    pairs = [pair for event in events for pair in event.items() if pair[0] in _EVENTS]
    for kind, value in sorted(pairs, key=lambda pair: (pair[1] != "0", order(pair[1]))):
        if kind == "introduced" and (value == "0" or order(value) <= here):
            hit = True
        elif kind == "fixed":
            if order(value) <= here:
                hit = False
            elif hit and fixed is None:
                fixed = value
        elif kind == "last_affected" and order(value) < here:
            hit = False
    return hit, fixed if hit else None


def _debian(version: str) -> NativeVersion:
    return NativeVersion(version)


def _semver(version: str) -> tuple[Any, ...]:
    """Sorts as https://semver.org/#spec-item-11 says; Go's pseudo-versions are versions too."""
    match = _SEMVER.fullmatch(version)
    if match is None:
        raise ValueError(f"{version!r} is no version")
    numbers = tuple(int(part or 0) for part in match.groups()[:3])
    if match[4] is None:
        return (*numbers, (1,))
    parts = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in match[4].split(".")]
    return (*numbers, (0, *parts))
