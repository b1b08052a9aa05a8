# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import pytest

from goldsmith.core import files
from goldsmith.core.files import Sha256, write_all


def test_pieces_are_hashed_in_their_order_and_each_hash_starts_anew() -> None:
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


def test_a_short_write_is_not_taken_for_a_whole_one() -> None:
    sink = _Reluctant()
    write_all(sink, b"x" * 100)
    assert sink.getvalue() == b"x" * 100


def test_a_full_disk_is_told() -> None:
    with Path("/dev/full").open("wb", buffering=0) as sink, pytest.raises(OSError, match="No space left"):
        write_all(sink, b"x")


def test_a_disk_is_hashed_twice_in_one_pass(tmp_path: Path) -> None:
    data = os.urandom((3 << 20) + 7)
    (tmp_path / "disk").write_bytes(data)

    assert files.hashes_of(tmp_path / "disk") == (
        hashlib.sha256(data).hexdigest(), hashlib.sha512(data).hexdigest(), len(data),
    )  # fmt: skip
