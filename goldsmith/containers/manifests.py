# SPDX-License-Identifier: Apache-2.0
"""Read what a registry or an engine serves: manifests, indexes and configurations of images.

Formats: manifest.md, image-index.md and config.md of the OCI image specification, and Docker's image
manifest, version 2, schema 2.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from goldsmith.errors import BuildError

T = TypeVar("T")


class Platform(msgspec.Struct, frozen=True):
    """What an image of an index runs on."""

    os: str = ""
    architecture: str = ""


class Descriptor(msgspec.Struct, frozen=True, rename="camel"):
    """A blob, or an image of an index."""

    digest: str = ""
    size: int = 0
    media_type: str | None = None
    artifact_type: str | None = None
    annotations: dict[str, str] | None = None
    platform: Platform | None = None


class Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """A manifest, or an index, which has manifests instead of layers."""

    schema_version: int = 0
    media_type: str | None = None
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] | None = None
    manifests: tuple[Descriptor, ...] | None = None


class RootFs(msgspec.Struct, frozen=True):
    """The layers of an image, unpacked."""

    diff_ids: tuple[str, ...] = ()


class Config(msgspec.Struct, frozen=True):
    """An image's configuration."""

    architecture: str = ""
    rootfs: RootFs = RootFs()


class SavedImage(msgspec.Struct, frozen=True, rename="pascal"):
    """An image of `docker save`: the names of its files."""

    config: str
    layers: tuple[str, ...] = ()


def saved(data: bytes, owner: str) -> tuple[SavedImage, ...]:
    """The manifest.json of `docker save`. Raises BuildError where it is something else."""
    return _read(data, tuple[SavedImage, ...], f"the manifest.json of {owner}")


def manifest(data: bytes, owner: str) -> Manifest:
    """A manifest or index; owner: whose, for messages. Raises BuildError where it is something else."""
    return _read(data, Manifest, f"the manifest of {owner}")


def config(data: bytes, owner: str) -> Config:
    """An image's configuration. Raises BuildError where it is something else."""
    return _read(data, Config, f"the configuration of {owner}")


def _read(data: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError) as e:  # what msgspec raises is a ValueError
        raise BuildError(
            f"{what} cannot be used: {e}", hint="pin an image, not another kind of artifact"
        ) from e
