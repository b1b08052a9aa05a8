# SPDX-License-Identifier: Apache-2.0
"""What changed between two builds, by their records: the release notes of the newer one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from goldsmith.core import progress

_SECTIONS = ("kernel", "kubelet", "container images", "packages", "elements")


@dataclass(frozen=True, kw_only=True, slots=True)
class Diff:
    """old and new are build IDs; changes: section -> name -> before and after, None where it is absent."""

    old: str
    new: str
    changes: Mapping[str, Mapping[str, tuple[str | None, str | None]]]
    sizes: tuple[int, int]  # bytes of the disk image

    @property
    def is_empty(self) -> bool:
        """Nothing that is in the image differs."""
        return not any(self.changes.values())

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "old": self.old, "new": self.new, "size": {"old": self.sizes[0], "new": self.sizes[1]},
            "changes": {
                section: [{"name": name, "old": old, "new": new} for name, (old, new) in found.items()]
                for section, found in self.changes.items()
            },
        }  # fmt: skip

    def text(self) -> str:
        """Release notes: a section for each kind of thing that changed, a line for each thing."""
        lines = [f"{self.new}, after {self.old}"]
        for section in _SECTIONS:
            found = self.changes[section]
            if found:
                lines.append(f"  {section} ({len(found)})")
                lines += [_line(name, old, new) for name, (old, new) in found.items()]
        if self.is_empty:
            lines.append("  nothing in it differs")
        old, new = self.sizes
        lines.append(f"  size {progress.human_bytes(new)} ({new - old:+d} bytes)")
        return "\n".join(lines)


def between(old: Mapping[str, Any], new: Mapping[str, Any]) -> Diff:
    """Two records, or what a build folder says in their form (see buildrecord)."""
    parts = [
        {
            "kernel": {name: name for name in each["manifest"].get("kernels", ())},
            "kubelet": _kubelet(each["manifest"]),
            "container images": {i["ref"]: i["digest"] for i in each["manifest"]["containers"]},
            "packages": {p["name"]: p["version"] for p in each["packages"]["packages"]},
            "elements": dict(each["manifest"]["elements"]),
        }
        for each in (old, new)
    ]
    return Diff(
        old=old["manifest"]["build_id"], new=new["manifest"]["build_id"],
        changes={section: _changes(parts[0][section], parts[1][section]) for section in _SECTIONS},
        sizes=(old["manifest"]["disks"][0]["size"], new["manifest"]["disks"][0]["size"]),
    )  # fmt: skip


def _kubelet(manifest: Mapping[str, Any]) -> dict[str, str]:
    found = manifest.get("kubelet")
    return {"kubelet": f"{found['version']} ({found['source']})"} if found else {}


def _changes(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, tuple[str | None, str | None]]:
    return {
        name: (old.get(name), new.get(name))
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    }


def _line(name: str, old: str | None, new: str | None) -> str:
    if old is None:
        return f"    + {name}" + (f" {_short(new)}" if new != name else "")
    if new is None:
        return f"    - {name}" + (f" {_short(old)}" if old != name else "")
    return f"    ~ {name} {_short(old)} -> {_short(new)}"


def _short(text: str | None) -> str:
    """Digests by their first twelve digits."""
    text = text or ""
    word = text.removeprefix("sha256:")
    return word[:12] if len(word) == 64 else text
