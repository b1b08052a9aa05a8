# SPDX-License-Identifier: Apache-2.0
"""Digest what a container sees of its image: the merged files and the settings, without times and layers.

Images of the same content have the same digest, on whatever worker and by whatever engine they were built.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import lzma
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from goldsmith.containers import oci
from goldsmith.containers.images_lock import ImagesLock, LockedImage
from goldsmith.containers.oci import Content
from goldsmith.core import cache

_KIND, _FILE = "layer-content", "entries.json"
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_XATTR = "SCHILY.xattr."
# Keys of an image configuration that a container or an engine acts on (config.md of the OCI specification,
# and Docker's own). The others are times, history and names of the engine.
_SETTINGS = (
    "Cmd", "Entrypoint", "Env", "ExposedPorts", "Healthcheck", "Labels", "OnBuild", "Shell", "StopSignal",
    "User", "Volumes", "WorkingDir",
)  # fmt: skip
_PLATFORM = ("architecture", "os", "os.version", "variant")

Entries = Mapping[str, str | None]  # path -> type, owner, mode and content; None where a layer deletes it


class _UnreadableError(Exception):
    pass


def recorded(lock: ImagesLock, blobs: Mapping[str, Content]) -> ImagesLock:
    """The lock with the digest of each image's content. blobs: configurations and layers, by digest."""
    return replace(lock, images=tuple(_recorded(image, blobs) for image in lock.images))


def _recorded(image: LockedImage, blobs: Mapping[str, Content]) -> LockedImage:
    try:
        layers = [_layer(layer.digest, blobs[layer.digest]) for layer in image.layers]
    except _UnreadableError:  # such as zstd, which Python cannot read
        return image
    config = json.loads(_bytes(blobs[image.config_digest]))
    return replace(image, content_digest=digest(config, layers))


def digest(config: Mapping[str, Any], layers: list[Entries]) -> str:
    """sha256:HEX of an image. config: its configuration; layers: from the lowest up."""
    given = config.get("config")
    settings = given if isinstance(given, dict) else {}
    seen = {key: value for key in _SETTINGS if (value := settings.get(key))}
    platform = {key: value for key in _PLATFORM if (value := config.get(key))}
    return oci.sha256(oci.canonical([platform, seen, merged(layers)]))


def merged(layers: list[Entries]) -> dict[str, str]:
    """Path -> entry of the files as a container sees them (layer.md of the OCI specification)."""
    files: dict[str, str] = {}
    for layer in layers:
        for path, entry in layer.items():
            if entry is None or (not _is_folder(entry) and _is_folder(files.get(path, ""))):
                _remove(files, path)
        files.update({path: entry for path, entry in layer.items() if entry is not None})
    return files


def entries(source: Content) -> Entries:
    """The entries of a layer, a tar archive that may be compressed. Raises tarfile.TarError and others."""
    found: dict[str, str | None] = {}
    with _opened(source) as archive:
        for member in archive:
            path = member.name.removeprefix("./").strip("/")
            folder, _, name = path.rpartition("/")
            if name == _OPAQUE:
                found[f"{folder}/"] = None
            elif name.startswith(_WHITEOUT):
                found.setdefault(f"{folder}/{name.removeprefix(_WHITEOUT)}".lstrip("/"), None)
            else:
                found[path] = _entry(archive, member, found)
    return found


def _layer(digest: str, source: Content) -> Entries:
    """The entries of a layer, from the cache where it was read before."""

    def make(folder: Path) -> None:
        try:
            found = entries(source)
        except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as e:
            raise _UnreadableError from e
        (folder / _FILE).write_text(json.dumps(found))

    entry = cache.cached(_KIND, digest.partition(":")[2], make)
    found: dict[str, str | None] = json.loads((entry / _FILE).read_text())
    return found


@contextlib.contextmanager
def _opened(source: Content) -> Iterator[tarfile.TarFile]:
    file = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
    with file, tarfile.open(fileobj=file, mode="r|*") as archive:
        yield archive


def _entry(archive: tarfile.TarFile, member: tarfile.TarInfo, before: Entries) -> str:
    """What counts of a member: not its time, and not the names of its owner."""
    if member.islnk():  # the same file under another name
        target = member.linkname.removeprefix("./").strip("/")
        return before.get(target) or f"link {target}"
    about = f"{_type(member)} {member.mode & 0o7777:o} {member.uid}:{member.gid}"
    xattrs = {key: value for key, value in sorted(member.pax_headers.items()) if key.startswith(_XATTR)}
    more = [*([json.dumps(xattrs)] if xattrs else []), *_content(archive, member)]
    return " ".join([about, *more])


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[str]:
    if member.issym():
        yield member.linkname
    elif member.ischr() or member.isblk():
        yield f"{member.devmajor}:{member.devminor}"
    elif member.isreg():
        source = archive.extractfile(member)
        assert source is not None
        yield hashlib.file_digest(source, "sha256").hexdigest()  # type: ignore[arg-type]


def _type(member: tarfile.TarInfo) -> str:
    kinds = {"file": member.isreg(), "folder": member.isdir(), "symlink": member.issym()}
    return next((name for name, is_it in kinds.items() if is_it), f"type-{member.type!r}")


def _is_folder(entry: str) -> bool:
    return entry.startswith("folder ")


def _remove(files: dict[str, str], path: str) -> None:
    """Remove a path and what is below it; only that, where the path ends with a slash."""
    inside = f"{path.rstrip('/')}/" if path.strip("/") else ""  # empty: of the root, so everything
    for each in [each for each in files if each == path or each.startswith(inside)]:
        del files[each]


def _bytes(content: Content) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()
