# SPDX-License-Identifier: Apache-2.0
"""inputs.json: the entries of the cache that a build is made of, for the archive of its lock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from goldsmith.core.documents import Document, about

FILE = "inputs.json"  # in a build's folder
PACKAGES = "debian"  # the kind of packages and their lists
# Without layers and toolchains: the bundle and the program that they become are there.
KINDS = frozenset({
    "allowed", "base-signed", "bundle", "container", PACKAGES, "download", "kubelet", "pod-schema",
    "registry", "registry-manifest",
})  # fmt: skip


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

    @classmethod
    def of(cls, *, before: Iterable[tuple[str, str]], image: Iterable[tuple[str, str]]) -> BuildInputs:
        """Of the entries (kind, key) that the image stage used, and those that the stages before it used.

        Packages count for the image alone: those of container images are in the bundle.
        """
        needed = {(kind, key) for kind, key in before if kind != PACKAGES} | set(image)
        found = (InputEntry(kind=kind, key=key) for kind, key in needed if kind in KINDS)
        return cls(entries=tuple(sorted(found)))
