# SPDX-License-Identifier: Apache-2.0
"""Where the record of a build is found: beside the build, in a folder of records, or in Glance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goldsmith import buildrecord, workspace
from goldsmith.buildrecord import Build
from goldsmith.errors import PublishError
from goldsmith.glance import Glance
from goldsmith.publishstep import Found


@dataclass(frozen=True, kw_only=True, slots=True)
class Records:
    """Of one spec. out: where builds are; folder: the option --record; those of a cloud if one is asked."""

    out: Path
    name: str
    folder: Path | None = None
    glance: Glance | None = None
    known: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # build ID -> images in Glance

    def of_cloud(self, glance: Glance, found: Found) -> Records:
        """The same, and those that a cloud holds."""
        return Records(out=self.out, name=self.name, folder=self.folder, glance=glance, known=found.records)

    def get(self, build_id: str) -> dict[str, Any] | None:
        """The record of a build, or what stands for it beside the build; None where there is neither."""
        if self.folder and (path := self._path(build_id)).exists():
            return buildrecord.parse(path.read_bytes(), str(path))
        if self.glance and self.known.get(build_id):
            image = self.known[build_id][0]
            data = b"".join(self.glance.content(image))
            return buildrecord.parse(data, f"{self.glance.cloud}: the image {image}")
        return beside(self.out / self.name / build_id)

    def has_file(self, build_id: str) -> bool:
        """The folder of records holds this build's."""
        return self._path(build_id).exists()

    def put(self, build_id: str, data: bytes) -> None:
        """Write a record to the folder."""
        path = self._path(build_id)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            workspace.write_atomically(path, data)
        except OSError as e:
            raise PublishError(f"cannot write the record {path}: {e.strerror}") from e

    def _path(self, build_id: str) -> Path:
        assert self.folder is not None
        return self.folder / self.name / f"{build_id}.json.gz"


def beside(folder: Path) -> dict[str, Any] | None:
    """What a build folder says, in a record's form; None where there is no build."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        return {"manifest": manifest, **buildrecord.local(Build(folder=folder, manifest=manifest))}
    except (OSError, ValueError):
        return None
