# SPDX-License-Identifier: Apache-2.0
"""Records of builds: what a release contains. They are kept in Glance, or in a folder of records."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from goldsmith.changes import contents, spec_keys
from goldsmith.changes.contents import Contents
from goldsmith.containers import images_lock
from goldsmith.core import files
from goldsmith.core.documents import Document, about
from goldsmith.errors import PublishError
from goldsmith.image import manifest, packages
from goldsmith.image.finished_build import Build, DiskFile
from goldsmith.image.manifest import Manifest
from goldsmith.image.packages import PackageList
from goldsmith.provenance import attestation
from goldsmith.publish import release
from goldsmith.publish.glance import Glance
from goldsmith.publish.model import CurrentState, DesiredRelease
from goldsmith.publish.release import GlanceImage
from goldsmith.scan import sbom

_RECORD, _HISTORY = ".json.gz", ".history.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedDisk:
    """The disk image that was uploaded."""

    format: Annotated[str, about("Format, as qemu-img calls it.")]
    size: Annotated[int, about("Bytes.")]
    sha256: Annotated[str, about("Hex sha256.")]
    sha512: Annotated[str, about("Hex sha512.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldImage:
    """The image as Glance had it after the upload."""

    size: Annotated[int | None, about("Bytes.")]
    hash_algo: Annotated[str | None, about("Glance's hash algorithm; null if it hashes nothing.")]
    hash_value: Annotated[str | None, about("Hex digest by that algorithm.")]

    def is_still(self, image: GlanceImage) -> bool:
        """Glance has an image of the same size and hash now."""
        return (self.size, self.hash_value) == (image.size, image.hash_value)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseRecord(Document):
    """What is known of a build; with its disk and image, once it was published."""

    SCHEMA: ClassVar[str] = "goldsmith.record"
    OPTIONAL: ClassVar[frozenset[str]] = frozenset(
        {"spec", "container_packages", "disk", "glance", "bill", "statement"}
    )

    manifest: Annotated[Mapping[str, Any], about("The build's manifest.json.")]
    packages: Annotated[Mapping[str, Any], about("The build's packages.json.")]
    images_lock: Annotated[
        Mapping[str, Any] | None, about("The build's images.lock.json; null without container images.")
    ] = None
    spec: Annotated[
        Mapping[str, str] | None,
        about(
            "Keys of the build's rendered spec, as paths, and values without secrets; absent in old records."
        ),
    ] = None
    container_packages: Annotated[
        Mapping[str, Mapping[str, str]] | None,
        about("Reference of a container image -> package in it -> its versions; absent where not known."),
    ] = None
    disk: Annotated[RecordedDisk | None, about("The disk image that was uploaded.")] = None
    glance: Annotated[HeldImage | None, about("The image as Glance had it after the upload.")] = None
    bill: Annotated[
        str | None, about("The bill of materials, sbom.cdx.json, as text; absent in old records.")
    ] = None
    statement: Annotated[
        str | None, about("The signed statement, provenance.intoto.json, as text; absent if unsigned or old.")
    ] = None

    def read_manifest(self) -> Manifest:
        """The manifest. Raises PublishError for one of a newer version."""
        return Manifest.parse(self.manifest, self._origin(manifest.FILE), error=PublishError)

    def read_packages(self) -> PackageList:
        """The package list. Raises PublishError for one of a newer version."""
        return PackageList.parse(self.packages, self._origin(packages.FILE), error=PublishError)

    def contents(self) -> Contents:
        """What two builds are compared by. Raises PublishError for documents of a newer version."""
        return contents.of_records(
            self.read_manifest(), self.read_packages(), spec=self.spec, inside=self.container_packages
        )

    def _origin(self, file: str) -> str:
        return f"{file} of the record of {self.manifest.get('build_id', 'a build')}"

    def packed(self) -> bytes:
        """As it is stored: compressed JSON."""
        return gzip.compress(json.dumps(self.as_dict(), sort_keys=True).encode(), mtime=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Records:
    """The records of one spec. out: folder of builds; folder: the option --record; glance: a cloud to ask."""

    out: Path
    name: str
    folder: Path | None = None
    glance: Glance | None = None
    known: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # build ID -> images in Glance

    def of_cloud(self, glance: Glance, state: CurrentState) -> Records:
        """These, and those that a cloud holds."""
        return replace(self, glance=glance, known=state.records)

    def get(self, build_id: str) -> ReleaseRecord | None:
        """The record of a build, or its content from the build folder; None where there is neither."""
        if self.folder and (path := self._path(build_id)).exists():
            return self._completed(parse(path.read_bytes(), str(path)), build_id)
        if self.glance and self.known.get(build_id):
            image = self.known[build_id][0]
            data = b"".join(self.glance.content(image))
            return self._completed(parse(data, f"{self.glance.cloud}: the image {image}"), build_id)
        return beside(self.out / self.name / build_id)

    def _completed(self, record: ReleaseRecord, build_id: str) -> ReleaseRecord:
        """An old record, with what only the build folder has where that is here."""
        if record.spec is not None and record.bill is not None:
            return record
        here = beside(self.out / self.name / build_id)
        if here is None or here.manifest != record.manifest:
            return record
        if record.spec is None:
            record = replace(record, spec=here.spec, container_packages=here.container_packages)
        return replace(record, bill=here.bill, statement=record.statement or here.statement)

    def has_file(self, build_id: str) -> bool:
        """The folder of records holds this build's."""
        return self._path(build_id).exists()

    def put(self, build_id: str, data: bytes) -> None:
        """Write a record to the folder."""
        self._write(self._path(build_id), data)

    def _write(self, path: Path, data: bytes) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_atomically(path, data)
        except OSError as e:
            raise PublishError(
                f"cannot write the record {path}: {e.strerror}",
                hint="use a folder that you can write to: --record DIR",
            ) from e

    def with_histories(self, state: CurrentState) -> CurrentState:
        """The state, with the moves that the folder of records holds, if there is one."""
        if self.folder is None:
            return state
        return replace(state, histories=histories_below(self.folder / self.name))

    def put_history(self, build_id: str, text: str) -> None:
        """Write moves of the alias to the folder, beside the record of a build."""
        self._write(self._path(build_id, _HISTORY), text.encode())

    def _path(self, build_id: str, suffix: str = _RECORD) -> Path:
        assert self.folder is not None
        return self.folder / self.name / f"{build_id}{suffix}"


def histories_below(folder: Path) -> dict[str, str]:
    """Build ID -> moves of the alias, as put_history() stored them somewhere below a folder."""
    found = sorted(folder.rglob(f"*{_HISTORY}"))
    return {path.name.removesuffix(_HISTORY): path.read_text() for path in found}


def beside(folder: Path) -> ReleaseRecord | None:
    """The content of a build folder in a record's form; None where there is no build."""
    try:
        return of_build(folder)
    except (OSError, ValueError, RecursionError):
        return None


def of_build(folder: Path) -> ReleaseRecord:
    """The record of a build that is not published. Raises OSError, ValueError."""
    lock = folder / images_lock.FILE
    return ReleaseRecord(
        manifest=json.loads((folder / manifest.FILE).read_bytes()),
        packages=json.loads((folder / packages.FILE).read_bytes()),
        images_lock=json.loads(lock.read_bytes()) if lock.exists() else None,
        spec=spec_keys.of_build(folder),
        container_packages=contents.container_packages(folder),
        bill=_text(folder / sbom.FILE), statement=_text(folder / attestation.FILE),
    )  # fmt: skip


def _text(path: Path) -> str | None:
    """A file as it is, to its last byte; None where there is none."""
    return path.read_bytes().decode() if path.exists() else None


def of_release(build: Build, disk: DiskFile, held: GlanceImage) -> ReleaseRecord:
    """The record of a published build. held: its image in Glance."""
    return replace(
        of_build(build.folder),
        disk=RecordedDisk(format=disk.format, size=disk.size, sha256=disk.sha256, sha512=disk.sha512),
        glance=HeldImage(size=held.size, hash_algo=held.hash_algo, hash_value=held.hash_value),
    )


def store(glance: Glance, desired: DesiredRelease, data: bytes, *, image: str, run_id: str) -> None:
    """Store a record as a hidden image with this new ID. run_id: see release.RUN. Raises PublishError."""
    glance.create(
        GlanceImage(
            id=image, name=f"{desired.line.release_name(desired.build_id)}.record", status="queued",
            owner=glance.project, visibility="private", hidden=True, protected=False, size=None, created="",
            tags=frozenset({release.RECORD_TAG}), disk_format="raw", hash_algo=None, hash_value=None,
            properties={
                release.BUILD_ID: desired.build_id, release.SHA256: desired.sha256,
                release.ALIAS: desired.line.alias, release.RUN: run_id,
            },
            min_disk=0, min_ram=0,
        )
    )  # fmt: skip
    glance.upload(image, data)


def parse(data: bytes, origin: str) -> ReleaseRecord:
    """A record as packed() makes it. Raises PublishError."""
    try:
        document = json.loads(gzip.decompress(data))
    except (OSError, EOFError, ValueError, RecursionError) as e:
        raise PublishError(f"{origin} is no record of a release: {e}", hint="see: scripts/inv images") from e
    return ReleaseRecord.parse(document, origin, error=PublishError)
