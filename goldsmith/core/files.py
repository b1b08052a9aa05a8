# SPDX-License-Identifier: Apache-2.0
"""Files: hashes of their contents, copies, and atomic writes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePath
from types import TracebackType
from typing import IO

from goldsmith.core import progress

# Folders that Python and its tools leave beside the files that they read. They are no part of elements,
# suites and goldsmith itself; a container's build context is what Docker takes it for.
TOOL_CACHES = frozenset({"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"})
_PIECE = 1 << 20
_AHEAD = 4  # pieces that may wait to be hashed: limits memory use


def in_tool_cache(path: PurePath) -> bool:
    """Whether a path, relative to the folder that is read, is one of TOOL_CACHES or in one."""
    return not TOOL_CACHES.isdisjoint(path.parts)


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file, read in pieces."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def hashes_of(path: Path, *, title: str = "") -> tuple[str, str, int]:
    """Hex sha256, hex sha512 and size of a file, in one pass. title: on a terminal, if no step says it."""
    sha512, size = hashlib.sha512(), 0
    total = path.stat().st_size
    with path.open("rb") as source, Sha256() as sha256, progress.meter(title, total=total) as read:
        while piece := source.read(_PIECE):
            sha256.update(piece)
            sha512.update(piece)
            size += len(piece)
            read.at(size)
        return sha256.take(), sha512.hexdigest(), size


def copy(source: Path, target: Path) -> None:
    """Copy the content of a file, holes as holes, and show how far that is. Raises OSError."""
    total = source.stat().st_size
    with (
        source.open("rb") as old,
        target.open("wb") as new,
        progress.meter(f"copy {source.name}", total=total) as copied,
    ):
        while piece := old.read(_PIECE):
            if piece.count(0) == len(piece):
                new.seek(len(piece), os.SEEK_CUR)
            else:
                new.write(piece)
            copied.add(len(piece))
        new.truncate()


def move(source: Path, target: Path) -> None:
    """Give a file another place, which may be on another file system. Raises OSError."""
    try:
        source.rename(target)
    except OSError as e:
        if e.errno != errno.EXDEV:
            raise
        copy(source, target)
        shutil.copystat(source, target)
        source.unlink()


def write_json(path: Path, value: object) -> None:
    """A JSON file with sorted keys, whole or not at all."""
    write_atomically(path, json_bytes(value))


def json_bytes(value: object) -> bytes:
    """The content of the file that write_json() writes."""
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()


def write_atomically(path: Path, data: bytes) -> None:
    """The file appears whole or not at all."""
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "wb") as sink:
            sink.write(data)
            sink.flush()
            os.fsync(sink.fileno())
            os.fchmod(sink.fileno(), 0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_all(sink: IO[bytes], data: bytes) -> None:
    """Write all of data: an unbuffered file may accept less, and reports a full disk only the next time."""
    done = sink.write(data)
    while done < len(data):
        done += sink.write(memoryview(data)[done:])


class Sha256:
    """Like hashlib's, but hashes in a thread that ends with the block; take() starts the next hash.

    hashlib releases the interpreter lock, so hashing and writing overlap.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)  # one thread, so that pieces are hashed in their order
        self._hash = hashlib.sha256()
        self._pending: deque[Future[None]] = deque()

    def __enter__(self) -> Sha256:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    def update(self, data: bytes) -> None:
        self._pending.append(self._pool.submit(self._hash.update, data))
        if len(self._pending) > _AHEAD:
            self._pending.popleft().result()

    def take(self) -> str:
        """The hex digest of the data since the last call."""
        while self._pending:
            self._pending.popleft().result()
        digest, self._hash = self._hash.hexdigest(), hashlib.sha256()
        return digest
