# SPDX-License-Identifier: Apache-2.0
"""inputs.json: what a build is made of: entries of the cache, for its lock's archive, and hashes of all."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, ClassVar

from goldsmith.core.documents import Document, about

FILE = "inputs.json"  # in a build's folder
PACKAGES = "debian"  # the kind of packages and their lists
# Without layers and toolchains: the bundle and the program that they become are there.
KINDS = frozenset({
    "allowed", "base-signed", "bundle", "container", PACKAGES, "download", "kubelet", "pod-schema",
    "registry", "registry-manifest",
})  # fmt: skip
_NO_PARTS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class InputEntry:
    """An entry of the cache."""

    kind: Annotated[str, about("Kind of entry: its folder in the cache.")]
    key: Annotated[str, about("Name of the entry.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildInputs(Document):
    """What a locked build of the same lock takes from the cache."""

    SCHEMA: ClassVar[str] = "goldsmith.build-inputs"

    entries: Annotated[tuple[InputEntry, ...], about("Entries of the cache, sorted.")]
    parts: Annotated[
        Mapping[str, str], about("Hex sha256 of each part of what it is made of and verified by.")
    ] = field(default_factory=dict)

    @classmethod
    def forget_parts(cls, build: Path) -> None:
        """Let no later build take this one, in its folder, for one with the same inputs."""
        path = build / FILE
        if path.exists():
            dataclasses.replace(cls.read(path), parts={}).write(path)

    @classmethod
    def of(
        cls,
        *,
        before: Iterable[tuple[str, str]],
        image: Iterable[tuple[str, str]],
        parts: Mapping[str, str] = _NO_PARTS,
    ) -> BuildInputs:
        """Of the entries (kind, key) that the image stage used, and those that the stages before it used.

        Packages count for the image alone: those of container images are in the bundle.
        """
        needed = {(kind, key) for kind, key in before if kind != PACKAGES} | set(image)
        found = (InputEntry(kind=kind, key=key) for kind, key in needed if kind in KINDS)
        return cls(entries=tuple(sorted(found)), parts=dict(parts))
