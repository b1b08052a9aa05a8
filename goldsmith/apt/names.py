# SPDX-License-Identifier: Apache-2.0
"""The packages that apt-get can install from Debian's indexes, by name."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path

from goldsmith.apt.indexes import IndexState
from goldsmith.apt.mirror import Mirrors
from goldsmith.apt.store import Store
from goldsmith.core import cache

_FILE = "names"
_NAMES = re.compile(r"^(?:Package|Provides): (.+)$", re.MULTILINE)


def offered(state: IndexState, arch: str, mirrors: Mirrors) -> frozenset[str]:
    """Names of the packages of main, also virtual ones. Raises OSError if a list cannot be fetched."""
    store = Store(state, arch, {"debian": mirrors.debian, "security": mirrors.security})

    def fill(folder: Path) -> None:
        found: set[str] = set()
        for _, text in store.lists("main"):
            for line in _NAMES.findall(text):
                found.update(each.partition("(")[0].strip() for each in line.split(","))
        (folder / _FILE).write_text("\n".join(sorted(found)))

    entry = cache.cached("debian-names", state.key(arch), fill)
    return frozenset((entry / _FILE).read_text().splitlines())


def closest(name: str, known: frozenset[str]) -> str | None:
    """The most similar name that begins alike; None if there is none."""
    alike = [each for each in known if each[:1] == name[:1].lower()]  # of all, it would take seconds
    return next(iter(get_close_matches(name.lower(), alike, n=1, cutoff=0.75)), None)
