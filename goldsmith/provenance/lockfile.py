# SPDX-License-Identifier: Apache-2.0
"""NAME.lock.yaml: what a spec has resolved to, and what moved since. Pure, but for reading and writing.

A lock holds hashes of everything that goes in. Images that are built here are held by their contexts, for
an engine gives the same content other digests each time; all else by its own hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from goldsmith.core import files
from goldsmith.errors import ProvenanceError, SpecError
from goldsmith.spec import problem
from goldsmith.spec.document import parse_document

SCHEMA, VERSION = "goldsmith.lock", 1
SUFFIX = ".lock.yaml"
US, UPSTREAM = "us", "upstream"
_HASH_CHARS = 40
_MAKE_AGAIN = "make a new one: scripts/inv lock {} --upgrade"
PARTS = ("spec", "python", "elements", "base-image", "kubelet", "contexts", "containers", "packages")

Lock = Mapping[str, Any]

_HEADER = """\
# What {name} resolved to in build {build}. Made by: scripts/inv lock {name}
# Review it like code; scripts/inv build-image {name} --locked builds nothing else.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """Something that is not as it was locked. who: us (the checkout), or upstream."""

    part: str
    what: str
    locked: str
    found: str
    who: str

    def as_dict(self) -> dict[str, str]:
        """For --json."""
        return {
            "part": self.part, "what": self.what, "locked": self.locked, "found": self.found, "who": self.who,
        }  # fmt: skip


def compare(locked: Lock, found: Lock) -> tuple[Move, ...]:
    """What moved, of the parts that found has."""
    return tuple(move for part in PARTS if part in found for move in _moves(part, locked, found))


def table(moves: tuple[Move, ...]) -> str:
    """A line for each move."""
    rows = [("part", "what", "locked", "found", "moved by")]
    rows += [(m.part, m.what, m.locked, m.found, m.who) for m in moves]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]])
        for row in rows
    )


def require(locked: Lock, found: Lock, name: str) -> None:
    """Raise ProvenanceError, with the table of all that moved, unless found is what was locked."""
    moves = compare(locked, found)
    if moves:
        shown = "".join(f"\n  | {line}" for line in table(moves).splitlines())
        who = " and ".join(sorted({move.who for move in moves}))
        raise ProvenanceError(
            f"{len(moves)} things are not as {name}{SUFFIX} has them, moved by {who}{shown}",
            hint=f"look at what moved, then: scripts/inv lock {name} --upgrade",
        )


def merge(old: Lock | None, new: Lock, upgrade: tuple[str, ...]) -> Lock:
    """new, but with the parts of old that are not to be upgraded."""
    if old is None:
        return new
    return {key: new[key] if key in upgrade or key not in PARTS else old[key] for key in new}


def read(path: Path) -> Lock:
    """A lock. Raises ProvenanceError where there is none, or it is none of ours."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as e:
        name = path.name.removesuffix(SUFFIX)
        raise ProvenanceError(f"there is no {path.name}", hint=f"make it: scripts/inv lock {name}") from e
    except (OSError, UnicodeDecodeError) as e:
        raise ProvenanceError(f"cannot read {path.name}: {e}") from e
    document = parse_document(text, lambda line: (path.name, line), in_c=True)
    if document.problems:
        raise ProvenanceError(
            f"cannot read {path.name}{problem.indented(document.problems)}",
            hint=f"repair it, or {_MAKE_AGAIN.format(path.name.removesuffix(SUFFIX))}",
            problems=document.problems,
        )
    found = document.data
    if not isinstance(found, dict) or (found.get("schema"), found.get("version")) != (SCHEMA, VERSION):
        raise ProvenanceError(f"{path.name} is no lock of version {VERSION}", hint="make it anew")
    missing = [part for part in PARTS if part not in found]
    if missing:
        raise ProvenanceError(f"{path.name} lacks {', '.join(missing)}", hint="make it anew")
    return found


def write(path: Path, lock: Lock) -> None:
    """One line a package, so that a review shows what changed."""
    body = {key: value for key, value in lock.items() if key != "packages"}
    text = yaml.safe_dump(body, sort_keys=False, width=200)
    lines = [_line(package) for package in lock["packages"]]
    packages = "packages:\n" + "".join(lines) if lines else "packages: []\n"
    header = _HEADER.format(name=lock["name"], build=lock["build"]["id"])
    files.write_atomically(path, f"{header}{text}{packages}".encode())


def parts(words: str) -> tuple[str, ...]:
    """'all' or parts with commas between. Raises SpecError for what is no part."""
    chosen = PARTS if words == "all" else tuple(words.split(","))
    unknown = [word for word in chosen if word not in PARTS]
    if unknown:
        raise SpecError(f"a lock has no part {unknown[0]!r}", hint=f"parts: all {' '.join(PARTS)}")
    return chosen


def _line(package: Mapping[str, Any]) -> str:
    shown = yaml.safe_dump(dict(package), sort_keys=False, default_flow_style=True, width=1000).strip()
    return f"- {shown}\n"


def _moves(part: str, locked: Lock, found: Lock) -> Iterator[Move]:
    old, new = _flat(part, locked[part]), _flat(part, found[part])
    for what in sorted(old.keys() | new.keys()):
        if old.get(what) != new.get(what):
            yield Move(
                part=part, what=what, locked=_short(old.get(what)), found=_short(new.get(what)),
                who=UPSTREAM if part in {"packages", "containers"} else US,
            )  # fmt: skip


def _flat(part: str, value: Any) -> dict[str, str]:  # noqa: ANN401 - the parts differ
    """The part as name -> what decides."""
    if value is None:
        return {}
    if part == "packages":
        return _packages(value)
    if part == "containers":
        return {i["ref"]: i["digest"] for i in value["images"] if i["source"] != "build"}
    if isinstance(value, Mapping):
        return {str(key): str(each) for key, each in value.items()}
    return {part: str(value)}


def _packages(value: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Of what is installed in several versions, as rpm does with kernels, all count together."""
    found: dict[str, list[str]] = {}
    for each in value:
        name = f"{each['name']}:{each['architecture']}"
        found.setdefault(name, []).append(f"{each['version']} {each['sha256']}")
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}


def _short(value: str | None) -> str:
    """A version stays, a hash is cut, both for the eye alone."""
    if value is None:
        return "-"
    words = (word.removeprefix("sha256:") for word in value.split())
    return " ".join(word if len(word) < _HASH_CHARS else f"{word[:12]}..." for word in words)
