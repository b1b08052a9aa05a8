# SPDX-License-Identifier: Apache-2.0
"""What changed between two builds: release notes, and the answer of diff. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, ClassVar

from goldsmith.changes import sections
from goldsmith.changes.advisories import AdvisoryChanges
from goldsmith.changes.contents import Contents
from goldsmith.changes.sections import Change, NotCompared
from goldsmith.core import progress
from goldsmith.core.documents import Document, about


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """Sizes of the disk image."""

    old: Annotated[int | None, about("Bytes of the old build's; null if it has none.")]
    new: Annotated[int | None, about("Bytes of the new build's; null if it has none.")]

    def text(self) -> str:
        """For people."""
        if self.new is None:
            return "no disk image"
        more = "" if self.old is None else f" ({self.new - self.old:+d} bytes)"
        return f"{progress.human_bytes(self.new)}{more}"


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildDiff:
    """What changed between two builds."""

    OPTIONAL: ClassVar[frozenset[str]] = frozenset({"advisories"})

    old: Annotated[str, about("ID of the old build.")]
    new: Annotated[str, about("ID of the new build.")]
    size: Annotated[Sizes, about("Sizes of the disk image.")]
    changes: Annotated[
        Mapping[str, tuple[Change, ...]],
        about("spec, base image, kernel, kubelet, container images, packages in container images, packages, "
              "elements and files of elements -> what changed."),
    ]  # fmt: skip
    not_compared: Annotated[
        tuple[NotCompared, ...], about("What may have changed too, because it was not recorded.")
    ] = ()
    advisories: Annotated[
        AdvisoryChanges | None,
        about("Security advisories that it closes and opens; absent if none were looked up."),
    ] = None

    @property
    def is_empty(self) -> bool:
        """The builds have the same content, and all of it was compared."""
        return not any(self.changes.values()) and not self.not_compared

    def text(self) -> str:
        """Release notes: a section for each kind of thing that changed, a line for each thing."""
        lines = [f"{self.new}, after {self.old}"]
        for section in sections.NAMES:
            if found := self.changes.get(section, ()):
                lines += [f"  {section} ({len(found)})", *_lines(found)]
        if not any(self.changes.values()):
            lines.append("  no differences" + (" in what was compared" if self.not_compared else ""))
        if self.not_compared:
            lines += [
                f"  not compared ({len(self.not_compared)})",
                *(each.line() for each in self.not_compared),
            ]
        if self.advisories is not None:
            lines += [f"  {line}" for line in self.advisories.lines()]
        return "\n".join([*lines, f"  size {self.size.text()}"])


@dataclass(frozen=True, kw_only=True, slots=True)
class DiffAnswer(BuildDiff, Document):
    """Answer of diff."""

    SCHEMA: ClassVar[str] = "goldsmith.diff"


def answer(diff: BuildDiff) -> DiffAnswer:
    """The answer of diff."""
    return DiffAnswer(**{each.name: getattr(diff, each.name) for each in dataclasses.fields(diff)})


def between(old: Contents, new: Contents) -> BuildDiff:
    """The changes between the contents of two builds."""
    changes, unknown = sections.compare(old, new)
    return BuildDiff(
        old=old.build_id, new=new.build_id, size=Sizes(old=old.size, new=new.size), changes=changes,
        not_compared=unknown,
    )  # fmt: skip


def _lines(changes: tuple[Change, ...]) -> list[str]:
    """A line for each change, below the image or element that it belongs to."""
    lines = []
    for owner, found in groupby(changes, key=lambda change: change.of):
        if owner is None:
            lines += [f"    {line}" for line in _top_lines(tuple(found))]
        else:
            lines += [f"    {owner}", *(f"      {change.line()}" for change in found)]
    return lines


def _top_lines(changes: tuple[Change, ...]) -> list[str]:
    """Without the keys of entries that are new or gone as a whole, which have a line."""
    whole = tuple(f"{change.name}." for change in changes if change.is_entry and not change.is_both)
    return [change.line() for change in changes if not change.name.startswith(whole)]
