# SPDX-License-Identifier: Apache-2.0
"""NAME.lock.yaml: what a spec resolved to; comparison of locks. Pure, but for reading and writing.

A lock holds hashes of everything that goes in. Container images that are built here are held by the hashes
of their build contexts, because an engine gives the same content another digest each time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml

from goldsmith.containers.images_lock import ImagesLock, LockedImage
from goldsmith.core import files, paths
from goldsmith.core.documents import Document, about
from goldsmith.errors import ProvenanceError, SpecError
from goldsmith.image.base_image import BaseImageRecord
from goldsmith.spec import problem
from goldsmith.spec.document import parse_document

SUFFIX = ".lock.yaml"
Who = Literal["us", "upstream"]
US: Who = "us"
UPSTREAM: Who = "upstream"
PARTS = ("spec", "python", "elements", "base-image", "kubelet", "contexts", "containers", "packages")
_PLACES = {US: "checkout", UPSTREAM: "upstream"}
_HASH_CHARS = 40

Parts = Mapping[str, Any]  # of PARTS, those that are known

_HEADER = """\
# What {name} resolved to in build {build}. Made by: scripts/inv lock {name}
# Review it like code; scripts/inv build-image {name} --locked builds nothing else.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedBuild:
    """The build that a lock was made from."""

    id: Annotated[str, about("ID of the build.")]
    commit: Annotated[str, about("Git commit of its checkout, or nogit.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedPackage:
    """A package of the image; a file has one line for each."""

    name: Annotated[str, about("Name of the package.")]
    version: Annotated[str, about("Version of the package.")]
    architecture: Annotated[str, about("Architecture of the package.")]
    sha256: Annotated[str | None, about("Hex sha256 of the package file; null where it is not known.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedContainers:
    """The build's images.lock.json; without containers, an empty list alone."""

    OPTIONAL: ClassVar[frozenset[str]] = frozenset({"schema", "version"})

    images: Annotated[tuple[LockedImage, ...], about("The container images.")]
    schema: Annotated[str | None, about("Schema of images.lock.json; absent without containers.")] = None
    version: Annotated[int | None, about("Version of that schema; absent without containers.")] = None

    @classmethod
    def of(cls, lock: ImagesLock | None) -> LockedContainers:
        """Those of images.lock.json."""
        if lock is None:
            return cls(images=())
        return cls(images=lock.images, schema=lock.SCHEMA, version=lock.VERSION)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lock(Document):
    """What a spec resolved to. Written as YAML, in the order of these keys."""

    SCHEMA: ClassVar[str] = "goldsmith.lock"
    KEYS: ClassVar[Mapping[str, str]] = {"base_image": "base-image"}

    name: Annotated[str, about("Name of the spec.")]
    distribution: Annotated[str, about("Distribution of the image.")]
    release: Annotated[str, about("Release of the distribution.")]
    arch: Annotated[str, about("Architecture of the image.")]
    build: Annotated[LockedBuild, about("The build that the lock was made from.")]
    index: Annotated[
        Mapping[str, Mapping[str, str]] | None,
        about("Debian's signed indexes by path: sha256, and date (RFC 5322); null if none was used."),
    ]
    spec: Annotated[str, about("Hex sha256 of the rendered spec.")]
    python: Annotated[Mapping[str, str], about("Hex sha256 of requirements.lock.")]
    elements: Annotated[Mapping[str, str], about("Hex sha256 of each element of the checkout.")]
    base_image: Annotated[
        BaseImageRecord | None, about("The cloud image that the build started from; null without one.")
    ]
    contexts: Annotated[Mapping[str, str], about("Hash of each container image's build context.")]
    kubelet: Annotated[
        Mapping[str, str] | None, about("Version, source, sha256 and pins of the kubelet; null without one.")
    ]
    containers: Annotated[LockedContainers, about("The container images of the build.")]
    packages: Annotated[tuple[LockedPackage, ...], about("Packages of the image.")]

    def parts(self) -> Parts:
        """The parts that are compared and upgraded, by name."""
        data = self.as_dict()
        return {part: data[part] for part in PARTS}


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """An entry that differs from the lock."""

    part: Annotated[str, about("Part of the lock.")]
    what: Annotated[str, about("Name of the entry in this part.")]
    locked: Annotated[str, about("Value in the lock; hashes are shortened, - is none.")]
    found: Annotated[str, about("Value that was found; hashes are shortened, - is none.")]
    who: Annotated[Who, about("Where it changed: us is the checkout, upstream all others.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedAnswer(Document):
    """The answer of lock --json."""

    SCHEMA: ClassVar[str] = "goldsmith.locked"

    moved: Annotated[tuple[Difference, ...], about("Differences from the lock before.")]
    path: Annotated[str, about("Path of the lock.")]

    def as_text(self) -> str:
        """For a person."""
        return f"{_shown(self.moved)}\n{self.path}"


@dataclass(frozen=True, kw_only=True, slots=True)
class OutdatedAnswer(Document):
    """The answer of outdated --json."""

    SCHEMA: ClassVar[str] = "goldsmith.outdated"

    moved: Annotated[tuple[Difference, ...], about("Differences that an upgrade of the lock would bring.")]

    def as_text(self) -> str:
        """For a person."""
        return _shown(self.moved)


def compare(locked: Lock, found: Parts) -> tuple[Difference, ...]:
    """The differences in the parts that found has."""
    before = locked.parts()
    return tuple(each for part in PARTS if part in found for each in _differences(part, before, found))


def table(differences: tuple[Difference, ...]) -> str:
    """A line for each difference."""
    rows = [("part", "what", "locked", "found", "changed in")]
    rows += [(each.part, each.what, each.locked, each.found, _PLACES[each.who]) for each in differences]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]])
        for row in rows
    )


def require(locked: Lock, found: Parts, name: str) -> None:
    """Raise ProvenanceError, with the table of all differences, unless found is what was locked."""
    differences = compare(locked, found)
    if differences:
        shown = "".join(f"\n  | {line}" for line in table(differences).splitlines())
        places = ", ".join(sorted({_PLACES[each.who] for each in differences}))
        count = "1 entry differs" if len(differences) == 1 else f"{len(differences)} entries differ"
        raise ProvenanceError(
            f"{count} from {name}{SUFFIX} (changed in: {places}){shown}",
            hint=f"review the differences, then: scripts/inv lock {name} --upgrade",
        )


def merge(old: Lock | None, new: Lock, upgrade: tuple[str, ...]) -> Lock:
    """new, but with the parts of old that are not to be upgraded."""
    if old is None:
        return new
    before = old.as_dict()
    kept = {part: before[part] for part in PARTS if part not in upgrade}
    return Lock.parse({**new.as_dict(), **kept}, "of both locks", error=ProvenanceError)


def read(path: Path) -> Lock:
    """Read a lock. Raises ProvenanceError where there is none, or the file is no lock of goldsmith's."""
    name = path.name.removesuffix(SUFFIX)
    again = f"make a new one: scripts/inv lock {name} --upgrade"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as e:
        raise ProvenanceError(f"there is no {path.name}", hint=f"make it: scripts/inv lock {name}") from e
    except (OSError, UnicodeDecodeError) as e:
        raise ProvenanceError(f"cannot read {path.name}: {e}") from e
    document = parse_document(text, lambda line: (path.name, line), in_c=True)
    if document.problems:
        lines = problem.indented(document.problems)
        raise ProvenanceError(
            f"cannot read {path.name}{lines}", hint=f"repair it, or {again}", problems=document.problems
        )
    if not isinstance(document.data, dict):
        raise ProvenanceError(f"{path.name} is no lock", hint=again)
    missing = [part for part in PARTS if part not in document.data]
    if missing and document.data.get("schema") == Lock.SCHEMA:
        raise ProvenanceError(f"{path.name} lacks {', '.join(missing)}", hint=again)
    return Lock.parse(document.data, path.name, error=ProvenanceError)


def write(path: Path, lock: Lock) -> None:
    """Write a lock with one line a package, so that a review shows each change."""
    body = lock.as_dict()
    body["containers"] = _sorted(body["containers"])  # as in images.lock.json
    lines = [_line(package) for package in body.pop("packages")]
    text = yaml.safe_dump(body, sort_keys=False, width=200)
    packages = "packages:\n" + "".join(lines) if lines else "packages: []\n"
    header = paths.as_typed(_HEADER.format(name=lock.name, build=lock.build.id))
    files.write_atomically(path, f"{header}{text}{packages}".encode())


def parts(words: str) -> tuple[str, ...]:
    """'all', or parts separated by commas. Raises SpecError for an unknown part."""
    chosen = PARTS if words == "all" else tuple(words.split(","))
    unknown = [word for word in chosen if word not in PARTS]
    if unknown:
        raise SpecError(f"a lock has no part {unknown[0]!r}", hint=f"use: all {' '.join(PARTS)}")
    return chosen


def _sorted(value: Any) -> Any:  # noqa: ANN401 - JSON
    return json.loads(json.dumps(value, sort_keys=True))


def _line(package: Mapping[str, Any]) -> str:
    shown = yaml.safe_dump(dict(package), sort_keys=False, default_flow_style=True, width=1000).strip()
    return f"- {shown}\n"


def _shown(differences: tuple[Difference, ...]) -> str:
    return table(differences) if differences else "no differences"


def _differences(part: str, locked: Parts, found: Parts) -> Iterator[Difference]:
    old, new = _flat(part, locked[part]), _flat(part, found[part])
    for what in sorted(old.keys() | new.keys()):
        if old.get(what) != new.get(what):
            yield Difference(
                part=part, what=what, locked=_short(old.get(what)), found=_short(new.get(what)),
                who=UPSTREAM if part in {"packages", "containers"} else US,
            )  # fmt: skip


def _flat(part: str, value: Any) -> dict[str, str]:  # noqa: ANN401 - the parts differ
    """The part as name -> the value that is compared."""
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
    """All versions of a package count together: rpm keeps several kernels installed."""
    found: dict[str, list[str]] = {}
    for each in value:
        name = f"{each['name']}:{each['architecture']}"
        found.setdefault(name, []).append(f"{each['version']} {each['sha256']}")
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}


def _short(value: str | None) -> str:
    """A value as the table shows it: versions whole, hashes shortened."""
    if value is None:
        return "-"
    words = (word.removeprefix("sha256:") for word in value.split())
    return " ".join(word if len(word) < _HASH_CHARS else f"{word[:12]}..." for word in words)
