# SPDX-License-Identifier: Apache-2.0
"""Every blob of the lock lies in the unbooted image with the digest it is called by."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path
from typing import Any

import pytest

from goldsmith.image import mount
from goldsmith.scan.contents import ARCHIVE, STORE

pytestmark = pytest.mark.needs("containers")


def wanted_blobs(images: list[dict[str, Any]]) -> list[str]:
    blobs = set()
    for image in images:
        blobs |= {image["digest"], image["config_digest"], *(layer["digest"] for layer in image["layers"])}
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


def test_lock_is_not_empty(expect: dict[str, Any]) -> None:
    assert wanted_blobs(expect["images"])


def test_every_blob_is_whole(sealed_root: Path, expect: dict[str, Any]) -> None:
    wanted = wanted_blobs(expect["images"])
    archive = in_archive(sealed_root) if expect["build"]["embed"] == "archive" else None
    found = {d: archive.get(d) if archive is not None else in_store(sealed_root, d) for d in wanted}
    assert {d: f for d, f in found.items() if f != d} == {}
