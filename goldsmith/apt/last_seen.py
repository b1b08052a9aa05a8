# SPDX-License-Identifier: Apache-2.0
"""The newest indexes of a suite that this host has seen: an older one may hide security updates."""

from __future__ import annotations

import contextlib
import email.utils
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from goldsmith.apt import inrelease
from goldsmith.core import files, paths
from goldsmith.errors import BuildError


def read(suite: str) -> dict[str, bytes]:
    """The InRelease files that were kept, by path below a build's mirror, without those that have no date."""
    try:
        kept = json.loads(_file(suite).read_text())
        found = {str(path): str(text).encode() for path, text in kept.items()}
    except (OSError, ValueError, AttributeError):
        return {}
    return {path: text for path, text in found.items() if _date(text, path) is not None}


def older(suite: str, releases: Mapping[str, bytes]) -> Iterator[str]:
    """A sentence for each index that is older than the one that is kept. Raises BuildError without a date."""
    kept = read(suite)
    for path, text in releases.items():
        mine, before = inrelease.date(text, path), _date(kept.get(path), path)
        if before is not None and mine < before:
            yield f"{path} is of {_shown(mine)}, older than that of {_shown(before)}, which was seen here"


def keep(suite: str, releases: Mapping[str, bytes]) -> None:
    """Keep those that are not older than what is kept. They are verified; text without a date is not."""
    kept = read(suite)
    newest = dict(releases)
    for path, text in kept.items():
        before = _date(text, path)
        if path in newest and before is not None and before > inrelease.date(newest[path], path):
            newest[path] = text
    file = _file(suite)
    file.parent.mkdir(parents=True, exist_ok=True)
    files.write_atomically(file, json.dumps({path: text.decode() for path, text in newest.items()}).encode())


def _date(text: bytes | None, path: str) -> int | None:
    """The date of a kept index; None without one: then it says nothing about others."""
    with contextlib.suppress(BuildError):
        return None if text is None else inrelease.date(text, path)
    return None


def _shown(moment: int) -> str:
    return email.utils.formatdate(moment, usegmt=True)


def _file(suite: str) -> Path:
    return paths.cache_root() / "index" / f"{suite}.json"
