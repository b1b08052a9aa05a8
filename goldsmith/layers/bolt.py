# SPDX-License-Identifier: Apache-2.0
"""Read a bolt database, as containerd keeps its metadata in one.

The format is that of go.etcd.io/bbolt, internal/common: page.go, meta.go, bucket.go. Only what a database
of one process at rest has is read; nothing is written.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_MAGIC, _VERSION = 0xED0CDAED, 2
_FNV_OFFSET, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3
_PAGE = struct.Struct("<QHHI")  # id, flags, count, overflow
# magic, version, page size, flags, root, sequence, free list, pages, ID, checksum
_META = struct.Struct("<IIIIQQQQQQ")
_BUCKET = struct.Struct("<QQ")  # page of its root, or 0 if the page follows; sequence
_LEAF = struct.Struct("<IIII")  # flags, position, sizes of key and value
_BRANCH = struct.Struct("<IIQ")  # position, size of the key, page
_IS_BRANCH, _IS_LEAF, _IS_BUCKET = 1, 2, 1
_DEEPEST = 64

Entry = tuple[tuple[bytes, ...], bytes | None]  # path of buckets and key -> value; None for a bucket


class BoltError(ValueError):
    """This is no whole bolt database."""


def entries(data: bytes) -> Iterator[Entry]:
    """All keys and buckets, in the order of the database. Raises BoltError."""
    try:
        yield from _Database(data).entries()
    except (struct.error, IndexError) as e:
        raise BoltError(f"a page of it is cut off: {e}") from e


class _Database:
    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        metas = [self._meta(at) for at in self._places_of_metas() if self._is_whole(at)]
        if not metas:
            raise BoltError("it has no page that says so")
        newest = max(metas, key=lambda meta: meta[8])
        self._page_size, self._root = newest[2], newest[4]

    def entries(self) -> Iterator[Entry]:
        yield from self._of_page(self._page(self._root), ())

    def _places_of_metas(self) -> Iterator[int]:
        """The first two pages; the first one says how large a page is."""
        yield 0
        size = self._meta(0)[2]
        if len(self._data) >= 2 * size:
            yield size

    def _meta(self, at: int) -> tuple[int, ...]:
        return _META.unpack_from(self._data, at + _PAGE.size)

    def _is_whole(self, at: int) -> bool:
        """A meta page that was not written to its end has another checksum (FNV-1a, 64 bits)."""
        found = self._meta(at)
        digest = _FNV_OFFSET
        start = at + _PAGE.size
        for byte in self._data[start : start + _META.size - 8]:
            digest = (digest ^ byte) * _FNV_PRIME & 0xFFFFFFFFFFFFFFFF
        return found[:2] == (_MAGIC, _VERSION) and found[-1] == digest

    def _page(self, number: int) -> memoryview:
        start = number * self._page_size
        overflow = _PAGE.unpack_from(self._data, start)[3]
        return self._data[start : start + (overflow + 1) * self._page_size]

    def _of_page(self, page: memoryview, path: tuple[bytes, ...], depth: int = 0) -> Iterator[Entry]:
        _, flags, count, _ = _PAGE.unpack_from(page)
        if depth > _DEEPEST:
            raise BoltError("its pages lead to each other")
        for index in range(count):
            if flags & _IS_BRANCH:
                at = _PAGE.size + index * _BRANCH.size
                yield from self._of_page(self._page(_BRANCH.unpack_from(page, at)[2]), path, depth + 1)
            elif flags & _IS_LEAF:
                yield from self._of_leaf(page, _PAGE.size + index * _LEAF.size, path, depth)
            else:
                raise BoltError(f"a page is of no known kind: {flags}")

    def _of_leaf(self, page: memoryview, at: int, path: tuple[bytes, ...], depth: int) -> Iterator[Entry]:
        flags, position, key_size, size = _LEAF.unpack_from(page, at)
        start = at + position
        key, value = bytes(page[start : start + key_size]), page[start + key_size : start + key_size + size]
        if not flags & _IS_BUCKET:
            yield (*path, key), bytes(value)
            return
        yield (*path, key), None
        root, _sequence = _BUCKET.unpack_from(value)
        inside = self._page(root) if root else value[_BUCKET.size :]
        yield from self._of_page(inside, (*path, key), depth + 1)
