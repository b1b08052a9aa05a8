# SPDX-License-Identifier: Apache-2.0
"""Databases written here, page by page; one of containerd's is compared by `soak rebuild`."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest

from goldsmith.layers import bolt
from goldsmith.layers.bolt import BoltError

SIZE = 4096
BRANCH, LEAF, META = 1, 2, 4


def page(number: int, flags: int, count: int, rest: bytes, overflow: int = 0) -> bytes:
    return (struct.pack("<QHHI", number, flags, count, overflow) + rest).ljust((overflow + 1) * SIZE, b"\0")


def meta(number: int, transaction: int, root: int, magic: int = 0xED0CDAED, torn: int = 0) -> bytes:
    text = struct.pack("<IIIIQQQQQ", magic, 2, SIZE, 0, root, 0, 2, 9, transaction)
    digest = 0xCBF29CE484222325
    for byte in text:
        digest = (digest ^ byte) * 0x100000001B3 % 2**64
    return page(number, META, 0, text + struct.pack("<Q", digest ^ torn))


def leaves(found: Sequence[tuple[bytes, bytes, int]]) -> bytes:
    """Elements of a leaf page, then their keys and values."""
    heads, tail = b"", b""
    for index, (key, value, flags) in enumerate(found):
        place = (len(found) - index) * 16 + len(tail)
        heads += struct.pack("<IIII", flags, place, len(key), len(value))
        tail += key + value
    return heads + tail


def branches(found: Sequence[tuple[bytes, int]]) -> bytes:
    heads, tail = b"", b""
    for index, (key, number) in enumerate(found):
        heads += struct.pack("<IIQ", (len(found) - index) * 16 + len(tail), len(key), number)
        tail += key
    return heads + tail


def bucket(root: int, inline: bytes = b"") -> bytes:
    return struct.pack("<QQ", root, 0) + inline


INLINE = bucket(0, struct.pack("<QHHI", 0, LEAF, 1, 0) + leaves([(b"size", b"7", 0)]))
LONG = b"x" * SIZE
WHOLE = b"".join([
    meta(0, 4, 9), meta(1, 5, 3),  # the second one is the newer
    page(2, 16, 0, b""),
    page(3, LEAF, 2, leaves([(b"a", bucket(4), 1), (b"b", INLINE, 1)])),
    page(4, BRANCH, 2, branches([(b"k", 5), (b"m", 6)])),
    page(5, LEAF, 1, leaves([(b"k", b"1", 0)])),
    page(6, LEAF, 1, leaves([(b"m", LONG, 0)]), overflow=1),
])  # fmt: skip


def test_all_entries_are_found_in_pages_of_each_kind() -> None:
    assert list(bolt.entries(WHOLE)) == [
        ((b"a",), None), ((b"a", b"k"), b"1"), ((b"a", b"m"), LONG), ((b"b",), None), ((b"b", b"size"), b"7"),
    ]  # fmt: skip


@pytest.mark.parametrize("torn", [meta(1, 6, 9, magic=1), meta(1, 6, 9, torn=1)])
def test_a_torn_meta_page_does_not_count(torn: bytes) -> None:
    assert len(list(bolt.entries(meta(0, 5, 3) + torn + WHOLE[2 * SIZE :]))) == 5


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "cut off"),
        (b"\0" * 3 * SIZE, "no page that says so"),
        (WHOLE[: 3 * SIZE], "cut off"),
        (WHOLE[: 3 * SIZE] + page(3, 64, 1, b""), "no known kind"),
        (WHOLE[: 3 * SIZE] + page(3, BRANCH, 1, branches([(b"a", 3)])), "lead to each other"),
    ],
)
def test_what_is_no_whole_database_is_an_error(data: bytes, problem: str) -> None:
    with pytest.raises(BoltError, match=problem):
        list(bolt.entries(data))
