# SPDX-License-Identifier: Apache-2.0
"""Copy a manifest with all of its blobs from a registry, every byte compared with its digest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldsmith.containers import oci
from goldsmith.containers.skopeo import Skopeo
from goldsmith.core import files
from goldsmith.errors import BuildError

NOT_TRUSTED = "do not use this registry until its owner has checked it"


def fetch(source: Skopeo, digest: str, target: Path) -> None:
    """Fill target with manifest.json and blobs (named by their hex digest), all of them checked."""
    source.copy(digest, target)
    (target / "version").unlink()
    manifest = (target / "manifest.json").read_bytes()
    compare(oci.sha256(manifest), digest, source.name)
    for blob in descriptors(json.loads(manifest)):
        path = target / hex_of(blob["digest"])
        compare(f"sha256:{files.sha256_of(path)}", blob["digest"], source.name)


def descriptors(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Configuration and layers of a manifest. Raises BuildError for one of schema version 1."""
    if manifest.get("schemaVersion") != 2 or "config" not in manifest:
        raise BuildError(
            "the registry serves a manifest of schema version 1, which is too old",
            hint="push the image again with a current docker, podman or skopeo",
        )
    return [manifest["config"], *manifest["layers"]]


def compare(found: str, expected: str, name: str) -> None:
    """Raise BuildError unless two digests are equal; name: the repository."""
    if found != expected:
        raise BuildError(f"{name} serves content of {found}, expected {expected}", hint=NOT_TRUSTED)


def hex_of(digest: str) -> str:
    """The hex digits of sha256:HEX."""
    return digest.partition(":")[2]
