# SPDX-License-Identifier: Apache-2.0
"""Hash the elements of an image and their dependencies."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from diskimage_builder import element_dependencies

from goldsmith.core.files import sha256_of


def hashes(names: Iterable[str], folders: Sequence[Path]) -> dict[str, str]:
    """Element -> hex sha256 over its files (path, mode, content), for names and all their dependencies."""
    builtin = Path(str(element_dependencies.__file__)).parent / "elements"
    path = ":".join(str(folder) for folder in [*folders, builtin])
    found = element_dependencies.get_elements(list(names), path)
    return {name: tree_sha256(Path(path)) for name, path in sorted(found)}


def tree_sha256(folder: Path) -> str:
    """Hex sha256 over the files of a folder: relative path, executable or not, content."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            mode = "x" if os.access(path, os.X_OK) else "-"
            digest.update(f"{path.relative_to(folder)}\0{mode}\0{sha256_of(path)}\n".encode())
    return digest.hexdigest()
