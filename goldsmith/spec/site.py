# SPDX-License-Identifier: Apache-2.0
"""Write the files of a new image into the user's folder: those of examples/edge, with the image's names."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from goldsmith.core import paths
from goldsmith.core.files import in_tool_cache
from goldsmith.errors import HostError, SpecError
from goldsmith.spec import schema

_EXAMPLE = "examples/edge"
_PAGE = Path("README.md")  # of the example as such
# What all images of a folder share: the second one finds them there.
_SHARED = (Path("image-specs/policy.yaml"), Path("image-specs/keys"))
_SCHEMA = "../../../goldsmith/schema/image-spec.schema.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """Files of a new image, by their paths in folder. kept: shared ones that were there already."""

    name: str
    folder: Path
    written: tuple[Path, ...]
    kept: tuple[Path, ...]

    @property
    def spec(self) -> Path:
        """The spec's file."""
        return self.folder / f"image-specs/{self.name}.yaml.j2"

    @property
    def called(self) -> str:
        """What finds the spec from the current folder: its name, or the path of its file."""
        is_found_by_name = self.folder.resolve() == paths.project_root().resolve()
        return self.name if is_found_by_name else str(self.spec)


def create(name: str, folder: Path) -> Site:
    """Write all files of an image; if one cannot be written, none of them stays.

    Raises SpecError for a name that no image can have, and where one of the files is there already;
    HostError if the folder cannot be written.
    """
    rule = schema.schema()["properties"]["name"]
    if not re.search(rule["pattern"], name):
        raise SpecError(f"no image can be called {name!r}", hint=f"write {rule['$comment']}")
    files = dict(_files(name))
    kept = tuple(path for path in files if _is_shared(path) and (folder / path).exists())
    new = {path: text for path, text in files.items() if path not in kept}
    if there := next((path for path in new if (folder / path).exists()), None):
        raise SpecError(
            f"{folder / there} exists already", hint="choose another name, or another folder: --into DIR"
        )
    _write(folder, new)
    return Site(name=name, folder=folder, written=tuple(new), kept=kept)


def _files(name: str) -> Iterator[tuple[Path, tuple[str, int]]]:
    """Path -> text and mode of each file."""
    example = paths.shipped(_EXAMPLE)
    renamed = _renaming(name)
    for path in sorted(example.rglob("*")):
        place = path.relative_to(example)
        if path.is_file() and place != _PAGE and not in_tool_cache(place):
            mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            yield Path(renamed(str(place))), (renamed(path.read_text(encoding="utf-8")), mode)


def _renaming(name: str) -> Callable[[str], str]:
    """Replaces the names of the example, all at once: a new name may have an old one in it."""
    word = name.replace("-", "_")
    words = {
        "edge-gateway": name, "edge-motd": f"{name}-motd", "EDGE_MOTD": f"{word.upper()}_MOTD",
        "edge.example": f"{name}.example", "containers/status": f"containers/{name}-status",
        "tests/edge": f"tests/{name}", "test_edge": f"test_{word}",
        "=========": "=" * len(f"{name}-motd"),  # above and below the title in the element's README
        _SCHEMA: str(schema.SCHEMA_PATH),
    }  # fmt: skip
    pattern = re.compile("|".join(map(re.escape, words)))
    return lambda text: pattern.sub(lambda found: words[found[0]], text)


def _is_shared(path: Path) -> bool:
    return any(path == shared or shared in path.parents for shared in _SHARED)


def _write(folder: Path, files: Mapping[Path, tuple[str, int]]) -> None:
    with contextlib.ExitStack() as undo:
        try:
            for path, (text, mode) in files.items():
                _make_folders((folder / path).parent, undo)
                with (folder / path).open("x", encoding="utf-8") as sink:
                    undo.callback((folder / path).unlink)
                    sink.write(text)
                (folder / path).chmod(mode)
        except OSError as e:
            raise HostError(
                f"cannot write {e.filename or folder}: {e.strerror}", hint="name another folder: --into DIR"
            ) from e
        undo.pop_all()


def _make_folders(folder: Path, undo: contextlib.ExitStack) -> None:
    for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        missing.mkdir()
        undo.callback(missing.rmdir)
