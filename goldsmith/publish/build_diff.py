# SPDX-License-Identifier: Apache-2.0
"""Compare two builds by their records: the release notes of the newer one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from goldsmith.core import progress
from goldsmith.core.documents import Document, about
from goldsmith.image.manifest import Manifest
from goldsmith.image.packages import PackageList
from goldsmith.publish.records import ReleaseRecord

_SECTIONS = ("kernel", "kubelet", "container images", "packages", "elements")


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One thing that changed."""

    name: Annotated[str, about("Name of the kernel, container image, package or element; or `kubelet`.")]
    old: Annotated[str | None, about("Version or digest in the old build; null if absent.")]
    new: Annotated[str | None, about("Version or digest in the new build; null if absent.")]

    def line(self) -> str:
        """For people; what is new or gone under its whole name is not named twice."""
        if self.old is None:
            return f"    + {self.name}" + (f" {_short(self.new)}" if self.new != self.name else "")
        if self.new is None:
            return f"    - {self.name}" + (f" {_short(self.old)}" if self.old != self.name else "")
        return f"    ~ {self.name} {_short(self.old)} -> {_short(self.new)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """Sizes of the disk image."""

    old: Annotated[int, about("Bytes of the old build's.")]
    new: Annotated[int, about("Bytes of the new build's.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildDiff:
    """What changed between two builds."""

    old: Annotated[str, about("ID of the old build.")]
    new: Annotated[str, about("ID of the new build.")]
    size: Annotated[Sizes, about("Sizes of the disk image.")]
    changes: Annotated[
        Mapping[str, tuple[Change, ...]],
        about("kernel, kubelet, container images, packages and elements -> what changed."),
    ]

    @property
    def is_empty(self) -> bool:
        """The images have the same content."""
        return not any(self.changes.values())

    def text(self) -> str:
        """Release notes: a section for each kind of thing that changed, a line for each thing."""
        lines = [f"{self.new}, after {self.old}"]
        for section in _SECTIONS:
            if found := self.changes[section]:
                lines += [f"  {section} ({len(found)})", *(change.line() for change in found)]
        if self.is_empty:
            lines.append("  no differences")
        size = f"{progress.human_bytes(self.size.new)} ({self.size.new - self.size.old:+d} bytes)"
        return "\n".join([*lines, f"  size {size}"])


@dataclass(frozen=True, kw_only=True, slots=True)
class DiffAnswer(BuildDiff, Document):
    """Answer of diff."""

    SCHEMA: ClassVar[str] = "goldsmith.diff"


def answer(diff: BuildDiff) -> DiffAnswer:
    """The answer of diff."""
    return DiffAnswer(old=diff.old, new=diff.new, size=diff.size, changes=diff.changes)


def between(old: ReleaseRecord, new: ReleaseRecord) -> BuildDiff:
    """The changes between two records, or the content of build folders in their form. Raises PublishError."""
    before, after = old.read_manifest(), new.read_manifest()
    parts = _parts(before, old.read_packages()), _parts(after, new.read_packages())
    return BuildDiff(
        old=before.build_id, new=after.build_id, size=Sizes(old=before.disk.size, new=after.disk.size),
        changes={section: _changes(parts[0][section], parts[1][section]) for section in _SECTIONS},
    )  # fmt: skip


def _parts(manifest: Manifest, packages: PackageList) -> dict[str, Mapping[str, str]]:
    """Section -> name of a thing -> its version or digest."""
    kubelet = manifest.kubelet
    return {
        "kernel": {name: name for name in manifest.kernels},
        "kubelet": {"kubelet": f"{kubelet.version} ({kubelet.source})"} if kubelet else {},
        "container images": {image.ref: image.digest for image in manifest.containers},
        "packages": {package.name: package.version for package in packages.packages},
        "elements": manifest.elements,
    }


def _changes(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[Change, ...]:
    return tuple(
        Change(name=name, old=old.get(name), new=new.get(name))
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    )


def _short(text: str | None) -> str:
    """Digests by their first twelve digits."""
    text = text or ""
    word = text.removeprefix("sha256:")
    return word[:12] if len(word) == 64 else text
