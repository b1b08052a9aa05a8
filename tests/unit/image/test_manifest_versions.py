# SPDX-License-Identifier: Apache-2.0
"""Documents that earlier builds left, as they were written: all of them are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from goldsmith.containers.images_lock import ImagesLock
from goldsmith.core.documents import Document
from goldsmith.errors import BuildError
from goldsmith.image.manifest import Manifest
from goldsmith.image.packages import PackageList
from goldsmith.image.timings import TimingsRecord
from tests.support import published

KINDS: dict[str, type[Document]] = {
    "manifest": Manifest, "packages": PackageList, "images-lock": ImagesLock, "timings": TimingsRecord,
}  # fmt: skip
KEPT = sorted((Path(__file__).parent / "documents").glob("*.json"))


def kind_of(path: Path) -> type[Document]:
    return next(kind for name, kind in KINDS.items() if path.name.startswith(f"{name}-"))


def holds(small: Any, large: Any) -> bool:
    """large has all that small has; it may have more keys."""
    if isinstance(small, dict):
        return isinstance(large, dict) and all(k in large and holds(v, large[k]) for k, v in small.items())
    if isinstance(small, list):
        return len(small) == len(large) and all(map(holds, small, large))
    return bool(small == large)


def test_there_are_kept_documents_of_each_kind() -> None:
    assert {kind_of(path) for path in KEPT} == set(KINDS.values())
    assert len(KEPT) >= 9


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_kept_document_is_read_and_nothing_in_it_lost(path: Path) -> None:
    kept = json.loads(path.read_text())

    data = kind_of(path).read(path).as_dict()

    assert holds(kept, data)
    published.check(kept)
    published.check(data)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_one_of_a_newer_version_is_refused(path: Path) -> None:
    newer = {**json.loads(path.read_text()), "version": 2}

    with pytest.raises(BuildError, match=r"has version 2 of goldsmith\.[a-z-]+; this goldsmith reads"):
        kind_of(path).parse(newer, path.name)


def test_what_was_not_known_then_has_a_default() -> None:
    first = Manifest.read(Path(__file__).parent / "documents/manifest-first.json")

    assert first.accepted_unsigned == {}
    assert first.verification is not None
    assert (first.verification.emulator_faults, first.verification.pods_ready_s) == (0, None)
