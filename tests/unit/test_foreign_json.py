# SPDX-License-Identifier: Apache-2.0
"""JSON of others that is nested too deeply, or has other types: a clear error wherever it is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from goldsmith.containers import skopeo
from goldsmith.errors import GoldsmithError, PublishError
from goldsmith.image import mount
from goldsmith.image.manifest import Manifest
from goldsmith.provenance import dsse
from goldsmith.publish import records
from goldsmith.scan import osv, sbom, vulnerabilities
from goldsmith.scan.osv import Database

DEEP = b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
ODD = [
    DEEP,
    b"",
    b"null",
    b"7",
    b"[]",
    b'["a"]',
    b'{"components": 7}',
    b'{"payload": []}',
    b'{"affected": 7}',
]
EMPTY = Database(records=1, entries={}, ecosystems=frozenset())


def unseal(path: Path) -> object:
    form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    public = path.with_name("key.pub")
    public.write_bytes(ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(*form))
    return dsse.unseal(path.read_bytes(), "kind", dsse.public_key(public), path.name)


READERS: dict[str, Callable[[Path], Any]] = {
    "bill of materials": sbom.read,
    "bill of materials for a look-up": lambda path: vulnerabilities.find(path, EMPTY),
    "vulnerability database": lambda path: osv.load(path.parent),
    "manifest": lambda path: Manifest.read(path),
    "signed statement": unseal,
    "record of a release": lambda path: records.parse(path.read_bytes(), "it"),
}


@pytest.mark.parametrize("data", ODD)
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
def test_an_odd_document_is_a_clear_error(
    tmp_path: Path, reader: Callable[[Path], object], data: bytes
) -> None:
    path = tmp_path / "odd.json"
    path.write_bytes(data)

    with pytest.raises(GoldsmithError, match=r"\w"):
        reader(path)


@pytest.mark.parametrize("data", ODD)
def test_an_odd_file_of_the_image_is_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "build.json").write_bytes(data)

    assert mount.read_json(tmp_path, "/build.json") in (
        None,
        {"components": 7},
        {"payload": []},
        {"affected": 7},
    )


@pytest.mark.parametrize("data", [*ODD, b'{"auths": 7}', b'{"auths": {"h": 7}}', b'{"credHelpers": []}'])
def test_odd_logins_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    (tmp_path / "config.json").write_bytes(data)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    assert skopeo.credentials("host.test") is None


def test_a_folder_with_odd_documents_is_no_build(tmp_path: Path) -> None:
    for name in ("manifest.json", "packages.json"):
        (tmp_path / name).write_bytes(DEEP)

    assert records.beside(tmp_path) is None
    with pytest.raises(PublishError, match="no record of a release"):
        records.parse(DEEP, "it")
