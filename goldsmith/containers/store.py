# SPDX-License-Identifier: Apache-2.0
"""The cache of container images: images by the hash of their inputs, layers by that of their content."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import shutil
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from goldsmith.containers import oci
from goldsmith.core import cache, files, paths

_KIND = "container"
_CHUNK = 1 << 20
_GZIP_LEVEL = 6  # what docker itself uses


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """An image as an engine has it: its configuration, and its uncompressed layers by diff ID."""

    config: bytes
    diff_ids: tuple[str, ...]

    @property
    def id(self) -> str:
        return oci.sha256(self.config)


class _MissingError(Exception):
    pass


def _refuse(_: Path) -> None:
    raise _MissingError


def lookup(key: str) -> Built | None:
    """The image of this key; does not check that its layers are still there."""
    try:
        config = _config(key)
    except _MissingError:
        return None
    return Built(config=config, diff_ids=tuple(json.loads(config)["rootfs"]["diff_ids"]))


def _config(key: str) -> bytes:
    def read() -> bytes:
        return (cache.cached(_KIND, key, _refuse) / "config.json").read_bytes()

    try:
        return read()
    except FileNotFoundError:  # another process has just replaced the entry
        return read()


def layers(built: Built) -> dict[str, Path] | None:
    """The files of its layers, whose hashes were checked just now; None if one is missing or broken."""
    try:
        return {diff_id: layer(diff_id) for diff_id in built.diff_ids}
    except _MissingError:
        return None


def layer(diff_id: str) -> Path:
    return cache.cached("layer", _hex(diff_id), _refuse) / "layer.tar"


def keep(key: str, config: bytes, files: Mapping[str, Path]) -> Built:
    """Store an image in the place of an earlier one; moves or copies its layer files (by diff ID).

    The caller has verified them.
    """
    for diff_id, path in files.items():
        cache.cached("layer", _hex(diff_id), functools.partial(_move, path, "layer.tar"))
    cache.cached(_KIND, key, lambda new: _write(new / "config.json", config), again=True)
    built = lookup(key)
    assert built is not None
    return built


def forget(key: str) -> None:
    shutil.rmtree(paths.cache_root() / _KIND / key, ignore_errors=True)


def making(keys: Collection[str]) -> contextlib.AbstractContextManager[None]:
    """Let no other process build the images of these keys meanwhile; waits for those that do."""
    return cache.making(_KIND, keys)


def gzipped(diff_id: str) -> tuple[Path, oci.Layer]:
    """The layer in gzip, the same bytes for each version of zlib; made once."""

    def make(new: Path) -> None:
        _gzip(layer(diff_id), new / "layer.tar.gz")

    key = f"{_hex(diff_id)}-{_GZIP_LEVEL}"
    path = cache.cached("layer-gzip", key, make) / "layer.tar.gz"
    size = path.stat().st_size
    return path, oci.Layer(digest=f"sha256:{files.sha256_of(path)}", size=size, diff_id=diff_id)


def _gzip(source: Path, target: Path) -> None:
    pack = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 31)  # zlib's own gzip header: no name, time 0
    with source.open("rb", buffering=0) as plain, target.open("wb") as sink:
        while chunk := plain.read(_CHUNK):
            sink.write(pack.compress(chunk))
        sink.write(pack.flush())


def _move(source: Path, name: str, folder: Path) -> None:
    try:
        source.rename(folder / name)
    except OSError as e:
        if e.errno != errno.EXDEV:
            raise
        shutil.copyfile(source, folder / name)
    (folder / name).chmod(0o644)


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _hex(digest: str) -> str:
    return digest.partition(":")[2]
