# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import hashlib
import io
import os
from pathlib import Path

import pytest

from goldsmith.core import files
from goldsmith.core.files import Sha256, write_all
from tests.support.meters import Meters


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


def test_how_far_a_disk_is_hashed_is_shown(tmp_path: Path, meters: Meters) -> None:
    (tmp_path / "disk").write_bytes(b"x" * ((2 << 20) + 7))

    files.hashes_of(tmp_path / "disk", title="hash disk")

    (meter,) = meters
    assert (meter.title, meter.total, meter.done) == ("hash disk", (2 << 20) + 7, (2 << 20) + 7)
    assert len(meter.seen) == 3


def test_a_file_is_copied_piece_by_piece(tmp_path: Path, meters: Meters) -> None:
    data = os.urandom((2 << 20) + 7)
    (tmp_path / "disk").write_bytes(data)

    files.copy(tmp_path / "disk", tmp_path / "copy")

    assert (tmp_path / "copy").read_bytes() == data
    (meter,) = meters
    assert (meter.title, meter.total, meter.done) == ("copy disk", len(data), len(data))


def test_a_file_moves_to_another_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meters: Meters
) -> None:
    (tmp_path / "disk").write_bytes(b"content")
    (tmp_path / "disk").chmod(0o640)
    refuse(monkeypatch, errno.EXDEV)

    files.move(tmp_path / "disk", tmp_path / "moved")

    assert not (tmp_path / "disk").exists()
    assert (tmp_path / "moved").read_bytes() == b"content"
    assert (tmp_path / "moved").stat().st_mode & 0o777 == 0o640
    assert len(meters) == 1


def test_a_file_on_the_same_file_system_is_renamed(tmp_path: Path, meters: Meters) -> None:
    (tmp_path / "disk").write_bytes(b"content")
    inode = (tmp_path / "disk").stat().st_ino

    files.move(tmp_path / "disk", tmp_path / "moved")

    assert (tmp_path / "moved").stat().st_ino == inode
    assert not meters


def test_a_move_that_is_refused_is_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "disk").write_bytes(b"content")
    refuse(monkeypatch, errno.EACCES)

    with pytest.raises(PermissionError):
        files.move(tmp_path / "disk", tmp_path / "moved")

    assert [path.name for path in tmp_path.iterdir()] == ["disk"]


def refuse(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def rename(_old: Path, _new: Path) -> Path:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "rename", rename)


def test_file_that_cannot_be_written_whole_stays_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    with pytest.raises(TypeError):
        files.write_atomically(path, "no bytes")  # type: ignore[arg-type]

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_holes_are_copied_as_holes(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    with old.open("wb") as sink:
        sink.seek(8 << 20)
        sink.write(b"data")
        sink.truncate(24 << 20)

    files.copy(old, new)

    assert new.read_bytes() == old.read_bytes()
    assert new.stat().st_blocks * 512 < 4 << 20
