# SPDX-License-Identifier: Apache-2.0
"""The offline image holds every blob of its lock, with the content that the digest names."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from goldsmith.containers.images_lock import LockedImage
from goldsmith.image import mount
from goldsmith.scan.contents import ARCHIVE, STORE
from goldsmith.spec.model import Embed
from goldsmith.verify.expectations import Expectations

pytestmark = pytest.mark.needs("containers")


def locked_blobs(images: Iterable[LockedImage]) -> list[str]:
    blobs = set()
    for image in images:
        blobs |= {image.digest, image.config_digest, *(layer.digest for layer in image.layers)}
    return sorted(blobs)


def in_store(root: Path, digest: str) -> str | None:
    blob = mount.resolve(root, f"{STORE}/{digest.removeprefix('sha256:')}")
    if not blob.is_file():
        return None
    with blob.open("rb") as source:
        return "sha256:" + hashlib.file_digest(source, "sha256").hexdigest()


def in_archive(root: Path) -> dict[str, str]:
    found = {}
    with tarfile.open(mount.resolve(root, ARCHIVE)) as archive:
        for member in archive:
            if member.name.startswith("blobs/sha256/"):
                source = archive.extractfile(member)
                assert source is not None
                digest = hashlib.file_digest(source, "sha256").hexdigest()  # type: ignore[arg-type]
                found["sha256:" + member.name.rpartition("/")[2]] = "sha256:" + digest
    return found


def test_lock_is_not_empty(expected: Expectations) -> None:
    assert locked_blobs(expected.images)


def test_every_blob_is_whole(sealed_root: Path, expected: Expectations) -> None:
    locked = locked_blobs(expected.images)
    archive = in_archive(sealed_root) if expected.info.embed == Embed.archive else None
    found = {d: archive.get(d) if archive is not None else in_store(sealed_root, d) for d in locked}
    assert {d: f for d, f in found.items() if f != d} == {}
