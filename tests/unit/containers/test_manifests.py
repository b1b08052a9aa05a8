# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from goldsmith.containers import blobs, manifests
from goldsmith.errors import BuildError

DIGEST = "sha256:" + "ab" * 32
DEEP = b"[" * 100_000 + b"]" * 100_000

ODD = {
    "empty": b"",
    "no JSON": b"<html>",
    "no UTF-8": b'{"mediaType": "\xff"}',
    "null": b"null",
    "a list": b"[]",
    "a number": b"7",
    "deep": DEEP,
    "deep in a key": b'{"config": ' + DEEP + b"}",
    "deep in a foreign key": b'{"x": ' + DEEP + b"}",
    "layers are a mapping": b'{"schemaVersion": 2, "layers": {}}',
    "a layer is text": b'{"schemaVersion": 2, "config": {}, "layers": ["a"]}',
    "a size is text": b'{"schemaVersion": 2, "config": {"digest": "a", "size": "1"}}',
    "a size is endless": b'{"config": {"size": ' + b"9" * 5000 + b"}}",
    "a digest is null": b'{"manifests": [{"digest": null}]}',
    "a platform is a list": b'{"manifests": [{"platform": []}]}',
}


@pytest.mark.parametrize("data", ODD.values(), ids=ODD.keys())
def test_what_is_no_manifest_is_a_clear_error(data: bytes) -> None:
    with pytest.raises(BuildError, match=r"the manifest of host\.test/app cannot be used"):
        manifests.manifest(data, "host.test/app")


READERS: dict[str, Callable[[bytes], object]] = {
    "config": lambda data: manifests.config(data, "it"),
    "saved": lambda data: manifests.saved(data, "it"),
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
@pytest.mark.parametrize("data", [b"", b"null", DEEP, b'[{"Config": 1}]', b'{"rootfs": {"diff_ids": [1]}}'])
def test_other_odd_documents_are_clear_errors_too(reader: Callable[[bytes], object], data: bytes) -> None:
    with pytest.raises(BuildError, match="of it cannot be used"):
        reader(data)


@pytest.mark.parametrize("nothing", ["null", "[]"])
def test_lists_may_be_null_as_go_writes_them(nothing: str) -> None:
    found = manifests.manifest(
        f'{{"schemaVersion": 2, "config": {{"digest": "{DIGEST}"}}, "layers": {nothing}}}'.encode(), "it"
    )

    assert [each.digest for each in blobs.descriptors(found)] == [DIGEST]


def test_unknown_keys_are_ignored() -> None:
    entry = {"digest": DIGEST, "urls": ["x"], "platform": {"os": "linux", "variant": "v8"}}

    (found,) = manifests.manifest(json.dumps({"manifests": [entry], "x": 1}).encode(), "it").manifests or ()

    assert found.digest == DIGEST
    assert found.platform == manifests.Platform(os="linux")


@pytest.mark.parametrize(
    "digest", ["", "sha256:", "sha256:../../etc/passwd", "sha512:" + "a" * 128, "a" * 64]
)
def test_a_digest_that_could_be_another_path_is_refused(digest: str) -> None:
    with pytest.raises(BuildError, match="is no sha256 digest of a blob"):
        blobs.hex_of(digest)
