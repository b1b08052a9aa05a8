# SPDX-License-Identifier: Apache-2.0
"""Hash the elements of an image and their dependencies."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

from diskimage_builder import element_dependencies

from goldsmith.core.documents import about
from goldsmith.core.files import in_tool_cache, sha256_of
from goldsmith.errors import SpecError


@dataclass(frozen=True, kw_only=True, slots=True)
class ElementFile:
    """A file of an element."""

    sha256: Annotated[
        str, about("Hex sha256 of its content; of a link, of its text, and of its target's content beside.")
    ]
    executable: Annotated[bool, about("Whether it is executable.")]


Tree = Mapping[str, ElementFile]  # path from the element's folder -> file, by path


def hashes(names: Iterable[str], places: Sequence[Path]) -> dict[str, str]:
    """Element -> hex sha256 over its files (path, mode, content), for names and all their dependencies.

    Raises SpecError as files() does.
    """
    return {name: sha256_of_tree(tree) for name, tree in files(names, places).items()}


def files(names: Iterable[str], places: Sequence[Path]) -> dict[str, Tree]:
    """Element -> its files, for names and all their dependencies.

    Raises SpecError if one is missing, or has a link to a folder of elements: its files would not be covered.
    """
    found = folders(names, places)
    for folder in found.values():
        _require_no_linked_folder(folder)
    return {name: tree(path) for name, path in found.items()}


def _require_no_linked_folder(element: Path) -> None:
    for path in element.rglob("*"):
        if path.is_symlink() and path.is_dir() and _is_beside(path, element.parent):
            raise SpecError(
                f"{path} is a link to a folder, {path.readlink()}",
                hint="put a copy of the folder in its place",
            )


def folders(names: Iterable[str], places: Sequence[Path]) -> dict[str, Path]:
    """Element -> its folder, for names and all their dependencies, by name.

    places: folders of elements, besides those of diskimage-builder. Raises SpecError if one is missing.
    """
    names, builtin = list(names), Path(str(element_dependencies.__file__)).parent / "elements"
    everywhere = [*places, builtin]
    try:
        found = element_dependencies.get_elements(names, ":".join(map(str, everywhere)))
    except element_dependencies.MissingElementException as e:
        raise _missing(names, everywhere) or SpecError(str(e), hint="correct element-deps") from e
    return {name: Path(path) for name, path in sorted(found)}


def _missing(names: Sequence[str], places: Sequence[Path]) -> SpecError | None:
    """The first missing element, who names it, and the closest one."""
    known = {path.name: path for place in reversed(places) for path in place.iterdir() if path.is_dir()}
    provided = {name for path in known.values() for name in _words(path / "element-provides")}
    asked = dict.fromkeys(names, "the spec")
    for name in (queue := list(asked)):
        if name not in known and name not in provided:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else "correct its name, or add the element"
            return SpecError(f"{asked[name]} names the element '{name}', which does not exist", hint=hint)
        for dependency in _words(known[name] / "element-deps") if name in known else ():
            if dependency not in asked:
                asked[dependency] = f"element-deps of {name}"
                queue.append(dependency)
    return None


def _words(path: Path) -> list[str]:
    return sorted(path.read_text().split()) if path.is_file() else []


def tree(folder: Path) -> Tree:
    """The files below a folder and its links, without the caches of tools."""
    return {
        str(path.relative_to(folder)): ElementFile(
            sha256=_sha256_of_link(path, folder) if path.is_symlink() else sha256_of(path),
            executable=os.access(path, os.X_OK) and not path.is_symlink(),
        )
        for path in sorted(folder.rglob("*"))
        if (path.is_symlink() or path.is_file()) and not in_tool_cache(path.relative_to(folder))
    }


def _sha256_of_link(path: Path, folder: Path) -> str:
    """Of its text; and of its target's content if that lies beside: others are meant for the image."""
    content = sha256_of(path) if _is_beside(path, folder.parent) and path.is_file() else ""
    return hashlib.sha256(f"link\0{path.readlink()}\0{content}".encode()).hexdigest()


def _is_beside(link: Path, place: Path) -> bool:
    """Whether a relative link leads to something below place, as hooks and their copies find it."""
    target = link.readlink()
    end = Path(os.path.realpath(link))  # of a loop, too, where resolve() raises
    return not target.is_absolute() and end.is_relative_to(place.resolve())


def sha256_of_tree(tree: Tree) -> str:
    """Hex sha256 over files: relative path, executable or not, content."""
    digest = hashlib.sha256()
    for path, file in tree.items():
        mode = "x" if file.executable else "-"
        digest.update(f"{path}\0{mode}\0{file.sha256}\n".encode())
    return digest.hexdigest()
