# SPDX-License-Identifier: Apache-2.0
"""Where the record of a build is found: beside the build, in a folder of records, or in Glance."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goldsmith.core import files
from goldsmith.errors import PublishError
from goldsmith.image.finished_build import Build, DiskFile
from goldsmith.publish.glance import Glance
from goldsmith.publish.model import Found


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
            return parse(path.read_bytes(), str(path))
        if self.glance and self.known.get(build_id):
            image = self.known[build_id][0]
            data = b"".join(self.glance.content(image))
            return parse(data, f"{self.glance.cloud}: the image {image}")
        return beside(self.out / self.name / build_id)

    def has_file(self, build_id: str) -> bool:
        """The folder of records holds this build's."""
        return self._path(build_id).exists()

    def put(self, build_id: str, data: bytes) -> None:
        """Write a record to the folder."""
        path = self._path(build_id)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_atomically(path, data)
        except OSError as e:
            raise PublishError(f"cannot write the record {path}: {e.strerror}") from e

    def _path(self, build_id: str) -> Path:
        assert self.folder is not None
        return self.folder / self.name / f"{build_id}.json.gz"


def beside(folder: Path) -> dict[str, Any] | None:
    """What a build folder says, in a record's form; None where there is no build."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        return {"manifest": manifest, **local(folder)}
    except (OSError, ValueError):
        return None


SCHEMA, SCHEMA_VERSION = "goldsmith.record", 1


def record(build: Build, disk: DiskFile, held: Mapping[str, Any]) -> bytes:
    """What is known of a build, compressed. held: size and hash of the image as Glance has it."""
    document = {
        "schema": SCHEMA, "version": SCHEMA_VERSION, "manifest": build.data,
        "disk": {"format": disk.format, "size": disk.size, "sha256": disk.sha256, "sha512": disk.sha512},
        "glance": dict(held), **local(build.folder),
    }  # fmt: skip
    return gzip.compress(json.dumps(document, sort_keys=True).encode(), mtime=0)


def local(folder: Path) -> dict[str, Any]:
    """The lists of a build: its packages, and its container images where it has any."""
    lock = folder / "images.lock.json"
    return {
        "packages": json.loads((folder / "packages.json").read_text()),
        "images_lock": json.loads(lock.read_text()) if lock.exists() else None,
    }


def parse(data: bytes, origin: str) -> dict[str, Any]:
    """A record as it was made by record(). Raises PublishError."""
    try:
        document: dict[str, Any] = json.loads(gzip.decompress(data))
        if document["schema"] == SCHEMA and document["version"] == SCHEMA_VERSION:
            return document
        said = f"schema {document['schema']}, version {document['version']}"
    except (OSError, EOFError, ValueError, KeyError, TypeError) as e:
        said = str(e)
    raise PublishError(f"{origin} is no record of a release: {said}")
