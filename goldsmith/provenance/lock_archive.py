# SPDX-License-Identifier: Apache-2.0
"""The archive of a lock: a tar file that holds the lock, its checkout, and the entries of the cache.

The same content gives the same bytes. The list at its start has the hash of every file, and the sum after it
that of the list. A reader expects exactly the bytes that the list allows, so no other member, name, kind or
mode can be in an archive, and any change is found before anything is unpacked.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import io
import json
import os
import re
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, ClassVar

from goldsmith.core import locks, paths, progress
from goldsmith.core.documents import Document, about
from goldsmith.core.progress import Meter
from goldsmith.errors import HostError, ProvenanceError, SpecError
from goldsmith.provenance.build_inputs import KINDS

LIST, SUM, LOCK, CHECKOUT = "archive.json", "archive.json.sha256", "lock.yaml", "checkout.bundle"
_LIST_MAX = 64 << 20
_CHUNK = 1 << 20
_HASH = re.compile(r"[0-9a-f]{64}")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_PART = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9._+~-]{0,254}")  # no hidden file, no .., no control character
_RANDOM = re.compile(r"[a-z0-9_]{8}")  # of mkstemp()
_AGAIN = "copy the archive again; if it came like this, do not use it"


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchivedFile:
    """A file of the archive."""

    size: Annotated[int, about("Bytes of the file.", ge=0)]
    sha256: Annotated[str, about("Hex sha256 of the file.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchivedEntry:
    """An entry of the cache."""

    kind: Annotated[str, about("Kind of entry: its folder in the cache.")]
    key: Annotated[str, about("Name of the entry.")]
    files: Annotated[Mapping[str, ArchivedFile], about("Its files by path; empty where being there counts.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class LockArchive(Document):
    """archive.json: the list of the files in a lock's archive."""

    SCHEMA: ClassVar[str] = "goldsmith.lock-archive"

    lock: Annotated[ArchivedFile, about("The lock, lock.yaml.")]
    checkout: Annotated[
        ArchivedFile | None, about("Git bundle of the lock's commit, checkout.bundle; null without git.")
    ]
    entries: Annotated[tuple[ArchivedEntry, ...], about("Entries of the cache, in the order of the archive.")]

    def members(self) -> Iterator[tuple[str, ArchivedFile]]:
        """The members after list and sum, in their order: name and file."""
        yield LOCK, self.lock
        if self.checkout is not None:
            yield CHECKOUT, self.checkout
        for entry in self.entries:
            for path, file in sorted(entry.files.items()):
                yield member(entry.kind, entry.key, path), file


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedArchive:
    """A checked archive. offsets: where the content of each member begins; sha256: of the whole file."""

    path: Path
    listed: LockArchive
    offsets: Mapping[str, int]
    sha256: str

    def unpack(self, name: str, file: ArchivedFile, target: Path) -> None:
        """Write a member to a new file. Raises ProvenanceError if it is no longer what was checked."""
        with target.open("xb") as sink:
            self._write(name, file, sink)

    def content(self, name: str, file: ArchivedFile) -> bytes:
        """The bytes of a small member. Raises ProvenanceError as unpack()."""
        sink = io.BytesIO()
        self._write(name, file, sink)
        return sink.getvalue()

    def _write(self, name: str, file: ArchivedFile, sink: IO[bytes]) -> None:
        with self.path.open("rb") as source:
            source.seek(self.offsets[name])
            if _copy(source, sink, file.size) != file.sha256:
                raise ProvenanceError(f"{self.path} changed while it was read: {name}", hint=_AGAIN)


def member(kind: str, key: str, path: str) -> str:
    """The name of a cache entry's file in an archive."""
    return f"cache/{kind}/{key}/{path}"


def write(target: Path, listed: LockArchive, sources: Mapping[str, Path]) -> str:
    """Write an archive whole or not at all; its hex sha256. sources: the file of each member.

    Raises SpecError if target exists, HostError if it cannot be written or the disk is full, and
    ProvenanceError if a source is not what is listed.
    """
    if os.path.lexists(target):
        raise SpecError(f"{target} exists already", hint="name another file, or remove this one")
    _require_allowed(listed, target)
    _remove_unfinished(target)
    try:
        fd, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as e:
        raise HostError(f"cannot write to {target.parent}: {e.strerror}", hint="name another folder") from e
    try:
        with os.fdopen(fd, "w+b") as sink, locks.locked(Path(temporary)):
            _write_members(sink, listed, sources)
            sink.flush()
            os.fsync(sink.fileno())
            os.fchmod(sink.fileno(), 0o644)
            sink.seek(0)
            digest = hashlib.file_digest(sink, "sha256").hexdigest()
        Path(temporary).replace(target)
    except OSError as e:
        paths.raise_if_full(e, {target.parent: "--export"})
        raise HostError(f"cannot write {target}: {e.strerror}", hint="name another file") from e
    finally:
        Path(temporary).unlink(missing_ok=True)
    return digest


def _remove_unfinished(target: Path) -> None:
    """Remove what writers of target that were killed left; a live one holds a lock before it writes."""
    for path in target.parent.glob(f".{glob.escape(target.name)}.*"):
        with contextlib.suppress(OSError):
            if _is_unfinished(path, target) and not locks.is_held(path):
                path.unlink()


def _is_unfinished(path: Path, target: Path) -> bool:
    """A file of this user, as write() makes it: by its name, its mode and its first member."""
    about = path.lstat()
    named = _RANDOM.fullmatch(path.name.removeprefix(f".{target.name}."))
    if named is None or not stat.S_ISREG(about.st_mode):
        return False
    if about.st_uid != os.geteuid() or stat.S_IMODE(about.st_mode) not in (0o600, 0o644):
        return False
    with path.open("rb") as source:
        return source.read(tarfile.BLOCKSIZE).startswith(LIST.encode() + b"\0")


def read(path: Path) -> OpenedArchive:
    """Check every byte of an archive; nothing is unpacked.

    Raises ProvenanceError for anything but a whole archive, SpecError where there is no file to read.
    """
    try:
        with path.open("rb") as source:
            return _Reader(path, source).read()
    except OSError as e:
        raise SpecError(f"cannot read {path}: {e.strerror}", hint="name the file of an archive") from e


class _Reader:
    """Compares a file with the bytes that its own list allows."""

    def __init__(self, path: Path, source: IO[bytes]) -> None:
        self._path, self._source, self._hash = path, source, hashlib.sha256()

    def read(self) -> OpenedArchive:
        text = self._list()
        listed = LockArchive.parse(_json(text, self._path), str(self._path), error=ProvenanceError)
        sum_ = _sum(text)
        self._expect(_header(SUM, len(sum_)) + sum_ + _padding(len(sum_)), SUM)
        _require_allowed(listed, self._path)
        with progress.meter(total=_size(listed)) as meter:
            offsets = {name: self._member(name, file, meter) for name, file in listed.members()}
        self._expect(_end(self._source.tell()), "its end")
        if self._source.read(1):
            raise self._damaged("its end")
        return OpenedArchive(path=self._path, listed=listed, offsets=offsets, sha256=self._hash.hexdigest())

    def _member(self, name: str, file: ArchivedFile, meter: Meter) -> int:
        """Check a member; where its content begins."""
        self._expect(_header(name, file.size), name)
        offset = self._source.tell()
        if _copy(self._source, None, file.size, self._hash, meter=meter) != file.sha256:
            raise self._damaged(name)
        self._expect(_padding(file.size), name)
        return offset

    def _list(self) -> bytes:
        """The bytes of the list, which must be the first member."""
        head = self._source.read(tarfile.BLOCKSIZE)
        try:
            found = tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
        except tarfile.TarError as e:
            raise self._foreign() from e
        if found.name != LIST or not 0 <= found.size <= _LIST_MAX or head != _header(LIST, found.size):
            raise self._foreign()
        text = self._source.read(found.size)
        self._hash.update(head + text)
        if len(text) != found.size:
            raise self._damaged(LIST)
        self._expect(_padding(len(text)), LIST)
        return text

    def _expect(self, data: bytes, name: str) -> None:
        found = self._source.read(len(data))
        self._hash.update(found)
        if found != data:
            raise self._damaged(name)

    def _damaged(self, name: str) -> ProvenanceError:
        size = os.fstat(self._source.fileno()).st_size
        how = "is cut off" if self._source.tell() >= size else "is damaged or was changed"
        return ProvenanceError(f"{self._path} {how} at {name}", hint=_AGAIN)

    def _foreign(self) -> ProvenanceError:
        return ProvenanceError(
            f"{self._path} is no archive of a lock", hint="make one: scripts/inv lock NAME --export FILE"
        )


def _write_members(sink: IO[bytes], listed: LockArchive, sources: Mapping[str, Path]) -> None:
    text = (json.dumps(listed.as_dict(), indent=1, sort_keys=True) + "\n").encode()
    for name, data in ((LIST, text), (SUM, _sum(text))):
        sink.write(_header(name, len(data)) + data + _padding(len(data)))
    with progress.meter(total=_size(listed)) as meter:
        for name, file in listed.members():
            sink.write(_header(name, file.size))
            with sources[name].open("rb") as source:
                if _copy(source, sink, file.size, meter=meter) != file.sha256 or source.read(1):
                    raise ProvenanceError(
                        f"{sources[name]} changed while it was written", hint="run the export again"
                    )
            sink.write(_padding(file.size))
    sink.write(_end(sink.tell()))


def _size(listed: LockArchive) -> int:
    """Bytes of the content of all members."""
    return sum(file.size for _, file in listed.members())


def _copy(
    source: IO[bytes], sink: IO[bytes] | None, size: int, *more: hashlib._Hash, meter: Meter | None = None
) -> str:
    """Copy at most size bytes; their hex sha256. more: hashes that get the bytes too."""
    digest, left = hashlib.sha256(), size
    while left and (data := source.read(min(_CHUNK, left))):
        for each in (digest, *more):
            each.update(data)
        if sink is not None:
            sink.write(data)
        if meter is not None:
            meter.add(len(data))
        left -= len(data)
    return digest.hexdigest()


def _header(name: str, size: int) -> bytes:
    """The only header that a member of this name and size can have."""
    about_it = tarfile.TarInfo(name)
    about_it.size, about_it.mode = size, 0o644
    return about_it.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _end(size: int) -> bytes:
    """Two empty blocks, then zeros to a whole record."""
    two = 2 * tarfile.BLOCKSIZE
    return bytes(two + -(size + two) % tarfile.RECORDSIZE)


def _sum(text: bytes) -> bytes:
    return f"{hashlib.sha256(text).hexdigest()}  {LIST}\n".encode()


def _json(text: bytes, path: Path) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as e:
        raise ProvenanceError(f"{path} is damaged or was changed at {LIST}: {e}", hint=_AGAIN) from e


def _require_allowed(listed: LockArchive, path: Path) -> None:
    """Only the kinds, names and hashes that an export writes, each entry once."""
    seen = set()
    for entry in listed.entries:
        name = f"{entry.kind}/{entry.key}"
        allowed = entry.kind in KINDS and _KEY.fullmatch(entry.key) and name not in seen
        seen.add(name)
        if not allowed or not all(_is_plain(each) for each in entry.files):
            raise ProvenanceError(f"{path} lists an entry that no cache has: {name[:300]!r}", hint=_AGAIN)
    for name, file in listed.members():
        if not _HASH.fullmatch(file.sha256):
            raise ProvenanceError(f"{path} lists {name} without a sha256", hint=_AGAIN)


def _is_plain(path: str) -> bool:
    return all(_PART.fullmatch(part) for part in path.split("/"))
