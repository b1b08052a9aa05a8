# SPDX-License-Identifier: Apache-2.0
"""Hash the elements of an image and their dependencies."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from diskimage_builder import element_dependencies

from goldsmith.core.documents import about
from goldsmith.core.files import sha256_of


@dataclass(frozen=True, kw_only=True, slots=True)
class ElementFile:
    """A file of an element."""

    sha256: Annotated[str, about("Hex sha256 of its content.")]
    executable: Annotated[bool, about("Whether it is executable.")]


Tree = Mapping[str, ElementFile]  # path from the element's folder -> file, by path


def hashes(names: Iterable[str], folders: Sequence[Path]) -> dict[str, str]:
    """Element -> hex sha256 over its files (path, mode, content), for names and all their dependencies."""
    return {name: sha256_of_tree(tree) for name, tree in files(names, folders).items()}


def files(names: Iterable[str], folders: Sequence[Path]) -> dict[str, Tree]:
    """Element -> its files, for names and all their dependencies."""
    builtin = Path(str(element_dependencies.__file__)).parent / "elements"
    path = ":".join(str(folder) for folder in [*folders, builtin])
    found = element_dependencies.get_elements(list(names), path)
    return {name: tree(Path(path)) for name, path in sorted(found)}


def tree(folder: Path) -> Tree:
    """The files below a folder, without Python's caches."""
    return {
        str(path.relative_to(folder)): ElementFile(
            sha256=sha256_of(path), executable=os.access(path, os.X_OK)
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def sha256_of_tree(tree: Tree) -> str:
    """Hex sha256 over files: relative path, executable or not, content."""
    digest = hashlib.sha256()
    for path, file in tree.items():
        mode = "x" if file.executable else "-"
        digest.update(f"{path}\0{mode}\0{file.sha256}\n".encode())
    return digest.hexdigest()
