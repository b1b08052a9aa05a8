# SPDX-License-Identifier: Apache-2.0
"""Which goldsmith makes a build: its version, and its commit, or the files of the wheel it came in."""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar

import goldsmith
from goldsmith.core import paths
from goldsmith.core.documents import about
from goldsmith.core.files import in_tool_cache
from goldsmith.image import checkout

_PACKAGE = "goldsmith"
_KIND = "sha256="


@dataclass(frozen=True, kw_only=True, slots=True)
class MadeBy:
    """The goldsmith that made a build."""

    OPTIONAL: ClassVar[frozenset[str]] = frozenset(("commit", "record_sha256"))

    version: Annotated[str, about("Version of goldsmith.")]
    commit: Annotated[
        str | None, about("Commit of its checkout, 40 hex digits; absent where it is installed, or no git.")
    ] = None
    record_sha256: Annotated[
        str | None,
        about("Hex sha256 of the lines of its wheel's RECORD that begin with goldsmith/, sorted; absent in a"
              " checkout."),
    ] = None  # fmt: skip
    changed: Annotated[
        tuple[str, ...], about("Installed files that RECORD does not have, or has with another content.")
    ] = ()


def here() -> MadeBy:
    """The goldsmith that runs."""
    root = paths.checkout()
    if root is not None:
        commit, _ = checkout.commit_of(root)
        return MadeBy(version=goldsmith.__version__, commit=None if commit == checkout.NO_COMMIT else commit)
    listed = importlib.metadata.distribution(_PACKAGE)
    text = listed.read_text("RECORD") or ""
    record = _record(text)
    return MadeBy(
        version=goldsmith.__version__, record_sha256=sha256_of_record(text) if record else None,
        changed=_changed(Path(str(listed.locate_file(""))), record),
    )  # fmt: skip


def sha256_of_record(text: str) -> str:
    """Hex sha256 of the lines of a RECORD that are of the package's files, without those of its caches.

    An installer adds lines for other files, and for caches, to the RECORD of a wheel.
    """
    lines = sorted(",".join(row) for row in _rows(text))
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def _rows(text: str) -> list[list[str]]:
    rows = (row for row in csv.reader(text.splitlines()) if row)
    return [row for row in rows if row[0].startswith(f"{_PACKAGE}/") and not _is_cache(row[0])]


def _record(text: str) -> dict[str, str]:
    """Path -> digest, as RECORD writes it (packaging.python.org, Recording installed projects)."""
    return {path: digest for path, digest, *_ in _rows(text)}


def _changed(folder: Path, record: Mapping[str, str]) -> tuple[str, ...]:
    """Files that differ from the record, or are not in it. folder: where the package is."""
    files = (path for path in (folder / _PACKAGE).rglob("*") if path.is_file())
    found = {name: path for path in files if not _is_cache(name := path.relative_to(folder).as_posix())}
    return tuple(
        name for name in sorted(found.keys() | record.keys())
        if name not in found or record.get(name) != _digest(found[name])
    )  # fmt: skip


def _digest(path: Path) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest())
    return _KIND + digest.decode().rstrip("=")


def _is_cache(name: str) -> bool:
    return in_tool_cache(PurePosixPath(name))
