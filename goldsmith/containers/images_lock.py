# SPDX-License-Identifier: Apache-2.0
"""images.lock.json: the container images in a bundle, by digest. docs/containers.md explains it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from goldsmith.core.documents import Document, about
from goldsmith.spec.model import Into

FILE = "images.lock.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedLayer:
    """A layer of an image. Digests are sha256:HEX."""

    digest: Annotated[str, about("Digest of the blob in the archive.")]
    size: Annotated[int, about("Bytes of the blob.")]
    diff_id: Annotated[str, about("Digest of the uncompressed tar archive in it.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedImage:
    """A container image. Digests are sha256:HEX."""

    OPTIONAL: ClassVar[frozenset[str]] = frozenset({"content_digest"})

    ref: Annotated[str, about("Reference, as the spec names the image.")]
    names: Annotated[tuple[str, ...], about("All full names that a pod can start it by.")]
    digest: Annotated[str, about("Digest of the image manifest for the platform.")]
    index_digest: Annotated[str | None, about("Digest of the index it was pulled by; null without one.")]
    config_digest: Annotated[str, about("Digest of the image configuration: the ID in an engine.")]
    media_type: Annotated[str, about("Media type of the manifest.")]
    size: Annotated[int, about("Bytes of manifest, configuration and layers.")]
    layers: Annotated[tuple[LockedLayer, ...], about("Layers, from the lowest up.")]
    source: Annotated[str, about("Where it is from: build, engine or registry.")]
    into: Annotated[Into, about("Runtime that it is embedded for: containerd or docker.")] = Into.containerd
    content_digest: Annotated[
        str | None,
        about(
            "Digest of files and settings without times: the same content has the same one; may be absent."
        ),
    ] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagesLock(Document):
    """The container images of a bundle."""

    SCHEMA: ClassVar[str] = "goldsmith.images-lock"

    images: Annotated[tuple[LockedImage, ...], about("The images, in the order of the spec.")]
