# SPDX-License-Identifier: Apache-2.0
"""Write container images into one archive that docker, containerd, podman and skopeo can read.

The archive is an OCI image layout (image-layout.md of the OCI image specification) with the manifest.json
of docker-archive beside it. Both refer to the same blobs, so each blob is stored once.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from goldsmith.containers.images_lock import ImagesLock, LockedImage, LockedLayer
from goldsmith.core import progress
from goldsmith.core.files import Sha256, write_all
from goldsmith.core.progress import Meter
from goldsmith.errors import BuildError
from goldsmith.spec.model import Into

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"

_CHUNK = 1 << 20

Content = bytes | Path
_DOCKER_HUB = "docker.io"


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """digest and size are those of the blob in the archive, diff_id that of the tar archive in it."""

    digest: str
    size: int
    diff_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """An image with its final manifest. names: all full names by which it can be started."""

    ref: str
    names: tuple[str, ...]
    manifest: bytes
    media_type: str
    config: Layer  # its diff_id equals the digest
    layers: tuple[Layer, ...]
    source: str  # build, engine or registry
    into: Into = Into.containerd
    index_digest: str | None = None

    @property
    def digest(self) -> str:
        return sha256(self.manifest)

    @property
    def size(self) -> int:
        """Bytes of all its blobs."""
        return len(self.manifest) + self.config.size + sum(layer.size for layer in self.layers)


def sha256(data: bytes) -> str:
    """The digest of data: sha256:HEX."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def manifest_of(config: Layer, layers: Sequence[Layer]) -> bytes:
    """An OCI manifest for an image that has none; its layers are tar archives, plain or gzipped."""
    return canonical(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": config.digest, "size": config.size},
            "layers": [
                {
                    "mediaType": OCI_LAYER if x.digest == x.diff_id else f"{OCI_LAYER}+gzip",
                    "digest": x.digest,
                    "size": x.size,
                }
                for x in layers
            ],
        }
    )


def full_name(ref: str) -> str:
    """ref as containerd and the kubelet store it: with its registry, and a tag unless it has a digest.

    https://pkg.go.dev/github.com/distribution/reference#ParseNormalizedNamed
    """
    name, at, digest = ref.partition("@")
    host, slash, path = name.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        host, path = _DOCKER_HUB, name
    if host in {_DOCKER_HUB, f"index.{_DOCKER_HUB}"}:
        host, path = _DOCKER_HUB, path if "/" in path else f"library/{path}"
    name = f"{host}/{path}"
    if not at and ":" not in name.rpartition("/")[2]:
        name += ":latest"
    return f"{name}{at}{digest}"


def repository(ref: str) -> str:
    """ref in full, without tag and digest."""
    name = full_name(ref).partition("@")[0]
    folder, _, last = name.rpartition("/")
    return f"{folder}/{last.partition(':')[0]}"


def write(images: Sequence[Image], blobs: Mapping[str, Content], sink: IO[bytes]) -> str:
    """Write the archive and return its sha256 (hex); hash every blob on the way.

    blobs: content by digest, of configs and layers. Raises BuildError for one that does not match its
    digest. The same images give the same bytes; memory use does not depend on their size.
    """
    size = sum(len(data) if isinstance(data, bytes) else data.stat().st_size for data in blobs.values())
    with Sha256() as total, Sha256() as each, progress.meter(total=size) as written:
        writer = _Writer(sink, total, each, written)
        writer.add("oci-layout", canonical({"imageLayoutVersion": "1.0.0"}))
        for name in ("blobs", "blobs/sha256"):
            writer.add_folder(name)
        for digest, content in _blobs_in_order(images, blobs):
            writer.add(_path(digest), content, digest)
        writer.add("manifest.json", canonical([_docker_entry(image) for image in images]))
        writer.add("index.json", canonical(_index(images)))
        return writer.end()


def lock(images: Sequence[Image]) -> ImagesLock:
    """What is in the archive, for other programs."""
    return ImagesLock(images=tuple(_locked(image) for image in images))


def _locked(image: Image) -> LockedImage:
    return LockedImage(
        ref=image.ref, names=image.names, digest=image.digest, index_digest=image.index_digest,
        config_digest=image.config.digest, media_type=image.media_type, size=image.size,
        layers=tuple(LockedLayer(digest=x.digest, size=x.size, diff_id=x.diff_id) for x in image.layers),
        source=image.source, into=image.into,
    )  # fmt: skip


def _blobs_in_order(images: Sequence[Image], blobs: Mapping[str, Content]) -> Iterator[tuple[str, Content]]:
    seen = set()
    for image in images:
        parts: list[tuple[str, Content]] = [
            (x.digest, blobs[x.digest]) for x in (*image.layers, image.config)
        ]
        for digest, content in [*parts, (image.digest, image.manifest)]:
            if digest not in seen:
                seen.add(digest)
                yield digest, content


def _path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _docker_entry(image: Image) -> dict[str, Any]:
    return {
        "Config": _path(image.config.digest),
        "RepoTags": [name for name in image.names if "@" not in name],
        "Layers": [_path(layer.digest) for layer in image.layers],
    }


def _index(images: Sequence[Image]) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [
            {
                "mediaType": image.media_type,
                "digest": image.digest,
                "size": len(image.manifest),
                "annotations": {
                    "io.containerd.image.name": name,
                    "org.opencontainers.image.ref.name": name,
                },
            }
            for image in images
            for name in image.names
        ],
    }


class _Writer:
    """A tar archive without times, users or names of this host, hashed while it is written."""

    def __init__(self, sink: IO[bytes], total: Sha256, each: Sha256, meter: Meter) -> None:
        self._sink = sink
        self._total = total
        self._each = each
        self._meter = meter
        self._written = 0

    def add_folder(self, name: str) -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        self._put(entry.tobuf(tarfile.GNU_FORMAT))

    def add(self, name: str, content: Content, digest: str | None = None) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = len(content) if isinstance(content, bytes) else content.stat().st_size
        self._put(entry.tobuf(tarfile.GNU_FORMAT))
        size = 0
        for chunk in _chunks(content):
            self._each.update(chunk)
            self._put(chunk)
            size += len(chunk)
        found = f"sha256:{self._each.take()}"
        if size != entry.size or (digest is not None and found != digest):
            raise BuildError(
                f"the content of blob {digest or name} does not match its digest",
                hint="run: scripts/inv clean, then build again",
            )
        self._put(bytes(-size % tarfile.BLOCKSIZE))

    def end(self) -> str:
        self._put(bytes(2 * tarfile.BLOCKSIZE))
        self._put(bytes(-self._written % tarfile.RECORDSIZE))
        return self._total.take()

    def _put(self, data: bytes) -> None:
        self._total.update(data)
        write_all(self._sink, data)
        self._written += len(data)
        self._meter.at(self._written)


def _chunks(content: Content) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb", buffering=0) as source:
        while chunk := source.read(_CHUNK):
            yield chunk
