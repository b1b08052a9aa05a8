# SPDX-License-Identifier: Apache-2.0
"""Read the Go version and the modules of a Go program from its build information.

Format: Go's package debug/buildinfo (Go 1.18 and later: the strings follow the header).
"""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass
from pathlib import Path

_MAGIC = b"\xff Go buildinf:"
_ALIGN = 16
_HEADER = 32
_INLINE = 2  # flag: the strings follow the header
_SENTINEL = 16  # bytes before and after the list of modules


@dataclass(frozen=True, kw_only=True, slots=True)
class GoModule:
    """path and version as in go.mod; h1: its sum as in go.sum, empty where a folder replaces it."""

    path: str
    version: str
    h1: str


@dataclass(frozen=True, kw_only=True, slots=True)
class GoBuild:
    """go: such as go1.26.8; modules: those linked in, without the main module; main: that one."""

    go: str
    modules: tuple[GoModule, ...]
    main: GoModule | None = None


def read(program: Path) -> GoBuild | None:
    """The build information; None for a program that is not Go's, or of an older Go."""
    with program.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = data.find(_MAGIC)
        while start >= 0 and start % _ALIGN:
            start = data.find(_MAGIC, start + 1)
        if start < 0 or not data[start + 15] & _INLINE:
            return None
        go, end = _string(data, start + _HEADER)
        text, _ = _string(data, end)
    lines = text[_SENTINEL:-_SENTINEL].decode()
    main = _modules(lines, frozenset({"mod"}))
    return GoBuild(go=go.decode(), modules=_modules(lines), main=main[0] if main else None)


def stdlib_version(go: str) -> str:
    """The version of Go's standard library, as go1.26.8 has 1.26.8; empty for an unreleased Go."""
    match = re.match(r"go(\d+\.\d+)(\.\d+)?(?:(beta|rc)(\d+))?(?![\w.])", go)
    if match is None:
        return ""
    return f"{match[1]}{match[2] or '.0'}" + (f"-{match[3]}.{match[4]}" if match[3] else "")


def _string(data: mmap.mmap, at: int) -> tuple[bytes, int]:
    """A string after its length (a varint), and the offset of its end."""
    size = shift = 0
    while True:
        byte = data[at]
        size |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return data[at : at + size], at + size


def _modules(text: str, kinds: frozenset[str] = frozenset({"dep", "=>"})) -> tuple[GoModule, ...]:
    """Lines `dep PATH VERSION SUM`; one that begins with => replaces the one before it.

    A module that a folder replaces keeps its own path and version.
    """
    found: list[GoModule] = []
    for line in text.splitlines():
        kind, *words = line.split("\t")
        if kind not in kinds or len(words) < 2:
            continue
        if kind == "=>" and found:
            if words[0].startswith((".", "/")):
                continue
            found.pop()
        found.append(GoModule(path=words[0], version=words[1], h1=words[2] if len(words) > 2 else ""))
    return tuple(found)
