# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import pytest

from goldsmith.core import files
from goldsmith.core.files import Sha256, write_all


def test_pieces_are_hashed_in_order_and_each_hash_starts_empty() -> None:
    pieces = [os.urandom(5000) for _ in range(50)]
    with Sha256() as hashed:
        for _ in range(2):
            for piece in pieces:
                hashed.update(piece)
            assert hashed.take() == hashlib.sha256(b"".join(pieces)).hexdigest()


class _Reluctant(io.BytesIO):
    def write(self, data: object) -> int:
        assert isinstance(data, bytes | memoryview)
        return super().write(bytes(data[:7]))


def test_a_short_write_is_continued() -> None:
    sink = _Reluctant()
    write_all(sink, b"x" * 100)
    assert sink.getvalue() == b"x" * 100


def test_a_full_disk_is_an_error() -> None:
    with Path("/dev/full").open("wb", buffering=0) as sink, pytest.raises(OSError, match="No space left"):
        write_all(sink, b"x")


def test_a_disk_is_hashed_twice_in_one_pass(tmp_path: Path) -> None:
    data = os.urandom((3 << 20) + 7)
    (tmp_path / "disk").write_bytes(data)

    assert files.hashes_of(tmp_path / "disk") == (
        hashlib.sha256(data).hexdigest(), hashlib.sha512(data).hexdigest(), len(data),
    )  # fmt: skip


def test_file_that_cannot_be_written_whole_stays_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    with pytest.raises(TypeError):
        files.write_atomically(path, "no bytes")  # type: ignore[arg-type]

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
