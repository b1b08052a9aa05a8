# SPDX-License-Identifier: Apache-2.0
"""Compare two root file systems: type, mode, owner, extended attributes and content of every path; no times.

`python -m goldsmith.layers.tree_diff ONE OTHER OUT` writes a list of paths as JSON. It is a separate program
because it reads files as root.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from goldsmith.layers import bolt

_DATABASES = {
    "/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db",
    "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/metadata.db",  # of unpacked images
}
_TIMES = {b"createdat", b"updatedat"}  # keys of containerd's databases, in every object


def differing(one: Path, other: Path) -> tuple[str, ...]:
    """Sorted paths from the root that differ or exist in only one of the two. Raises OSError, BoltError."""
    left, right = dict(_entries(one)), dict(_entries(other))
    return tuple(sorted(path for path in left.keys() | right.keys() if left.get(path) != right.get(path)))


def _entries(root: Path) -> Iterator[tuple[str, tuple[object, ...]]]:
    for folder, folders, names in os.walk(root, onerror=_raise):
        above = [root] if folder == os.fspath(root) else []
        for path in (*above, *(Path(folder, name) for name in (*folders, *names))):
            found, place = path.lstat(), f"/{path.relative_to(root)}".removesuffix("/.") or "/"
            content = _without_times(path) if place in _DATABASES else _content(path, found.st_mode)
            yield place, (
                found.st_mode, found.st_uid, found.st_gid, found.st_rdev, _attributes(path), content
            )  # fmt: skip


def _raise(error: OSError) -> None:
    raise error


def _attributes(path: Path) -> dict[str, bytes]:
    names = os.listxattr(path, follow_symlinks=False)
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}


def _content(path: Path, mode: int) -> str:
    if stat.S_ISLNK(mode):
        return os.fspath(path.readlink())
    if not stat.S_ISREG(mode):
        return ""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _without_times(database: Path) -> tuple[bolt.Entry, ...]:
    """What a database of containerd says, but not when its objects were made."""
    found = bolt.entries(database.read_bytes())
    return tuple((path, value) for path, value in found if path[-1] not in _TIMES)


if __name__ == "__main__":
    Path(sys.argv[3]).write_text(json.dumps(differing(Path(sys.argv[1]), Path(sys.argv[2]))) + "\n")
