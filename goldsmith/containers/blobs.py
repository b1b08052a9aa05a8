# SPDX-License-Identifier: Apache-2.0
"""Copy a manifest with all of its blobs from a registry, every byte compared with its digest."""

from __future__ import annotations

import re
from pathlib import Path

from goldsmith.containers import manifests, oci
from goldsmith.containers.manifests import Descriptor, Manifest
from goldsmith.containers.skopeo import Skopeo
from goldsmith.core import files
from goldsmith.errors import BuildError

_DIGEST = re.compile("sha256:[0-9a-f]{64}")
NOT_TRUSTED = "do not use this registry until its owner has checked it"


def fetch(source: Skopeo, digest: str, target: Path) -> None:
    """Fill target with manifest.json and blobs (named by their hex digest), all of them checked."""
    source.copy(digest, target)
    (target / "version").unlink()
    manifest = (target / "manifest.json").read_bytes()
    compare(oci.sha256(manifest), digest, source.name)
    for blob in descriptors(manifests.manifest(manifest, f"{source.name}@{digest}")):
        path = target / hex_of(blob.digest)
        if not path.is_file():
            raise BuildError(f"{source.name} did not serve the blob {blob.digest!r}", hint=NOT_TRUSTED)
        compare(f"sha256:{files.sha256_of(path)}", blob.digest, source.name)


def descriptors(manifest: Manifest) -> list[Descriptor]:
    """Configuration and layers of a manifest. Raises BuildError for one of schema version 1."""
    if manifest.schema_version != 2 or manifest.config is None:
        raise BuildError(
            "the registry serves a manifest of schema version 1, which is too old",
            hint="push the image again with a current docker, podman or skopeo",
        )
    return [manifest.config, *(manifest.layers or ())]


def compare(found: str, expected: str, name: str) -> None:
    """Raise BuildError unless two digests are equal; name: the repository."""
    if found != expected:
        raise BuildError(f"{name} serves content of {found}, expected {expected}", hint=NOT_TRUSTED)


def hex_of(digest: str) -> str:
    """The hex digits of sha256:HEX, the name of a file. Raises BuildError for any other digest."""
    if not _DIGEST.fullmatch(digest):
        raise BuildError(f"{digest!r} is no sha256 digest of a blob", hint=NOT_TRUSTED)
    return digest.partition(":")[2]
