# SPDX-License-Identifier: Apache-2.0
"""Compare two root file systems: type, mode, owner and content of every path, but no times.

`python -m tests.soak.tree_diff ONE OTHER OUT` writes a list of paths as JSON. It is a separate program
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


def differing(one: Path, other: Path) -> tuple[str, ...]:
    """Sorted paths from the root that differ or exist in only one of the two."""
    left, right = dict(_entries(one)), dict(_entries(other))
    return tuple(sorted(path for path in left.keys() | right.keys() if left.get(path) != right.get(path)))


def _entries(root: Path) -> Iterator[tuple[str, tuple[object, ...]]]:
    for folder, folders, names in os.walk(root):
        for path in (Path(folder, name) for name in (*folders, *names)):
            found = path.lstat()
            yield (
                f"/{path.relative_to(root)}",
                (found.st_mode, found.st_uid, found.st_gid, found.st_rdev, _content(path, found.st_mode)),
            )


def _content(path: Path, mode: int) -> str:
    if stat.S_ISLNK(mode):
        return os.fspath(path.readlink())
    if not stat.S_ISREG(mode):
        return ""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


if __name__ == "__main__":
    Path(sys.argv[3]).write_text(json.dumps(differing(Path(sys.argv[1]), Path(sys.argv[2]))) + "\n")
