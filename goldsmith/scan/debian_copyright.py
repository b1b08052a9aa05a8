# SPDX-License-Identifier: Apache-2.0
"""The licences that a Debian package declares in its copyright file. Pure."""

from __future__ import annotations

import re

_FORMAT = re.compile(r"^Format(-Specification)?: *\S", re.IGNORECASE)
_FIELD = re.compile(r"^License: *(\S.*?) *$", re.MULTILINE | re.IGNORECASE)
_COMMON = re.compile(r"/usr/share/common-licenses/([A-Za-z][\w.+-]*[\w+])")
_EITHER = re.compile(r"\s*,?\s+(?:and/or|and|or)\s+|\s*[,|]\s*", re.IGNORECASE)  # between licences
_WORD = re.compile(r"[\w.+-]+")
_GNU = re.compile(r"((?:A|L)?GPL-(?:1|2|2\.1|3)|GFDL-1\.[123])(\.0)?(\+?)")
_NAMES = {"with": "WITH", "expat": "MIT", "apache-2": "Apache-2.0"}  # of the format -> of SPDX


def licenses(text: str) -> tuple[str, ...]:
    """The licences that a copyright file names, sorted; empty where it names none.

    A machine-readable file (https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/) names
    them in its fields: GPL-2+ is given as SPDX's GPL-2.0-or-later. Any other file refers to the common
    licences, whose version may be a minimum: those keep Debian's name. Each licence is listed by itself:
    which file has which, and which of two may be chosen, stands in the copyright file alone.
    """
    if _FORMAT.match(text.lstrip()):
        names = {name for field in _FIELD.findall(text) for name in _EITHER.split(field)}
        return tuple(sorted({_WORD.sub(_spdx, name) for name in names if name}))
    return tuple(sorted(set(_COMMON.findall(text))))


def _spdx(word: re.Match[str]) -> str:
    gnu = _GNU.fullmatch(word[0])
    if gnu is None:
        return _NAMES.get(word[0].lower(), word[0])
    version = "" if "." in gnu[1] else ".0"
    return f"{gnu[1]}{version}-{'or-later' if gnu[3] else 'only'}"
