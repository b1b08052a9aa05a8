# SPDX-License-Identifier: Apache-2.0
"""Save images from a Docker engine: read its `docker save` stream, hash and compare it on the way."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import docker
import requests
from docker.errors import APIError, ImageNotFound

from goldsmith.containers import manifests, oci
from goldsmith.containers.manifests import SavedImage
from goldsmith.core import progress
from goldsmith.core.files import Sha256, write_all
from goldsmith.core.progress import Meter
from goldsmith.errors import BuildError

_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """An image of an engine. layers: its uncompressed layer archives, base first, by diff ID."""

    config: bytes
    layers: tuple[tuple[str, Path], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Member:
    digest: str
    path: Path


def inspect(client: docker.DockerClient, ref: str) -> Mapping[str, Any]:
    """The engine's description of an image. Raises BuildError if it has none of this name."""
    try:
        return cast(Mapping[str, Any], client.images.get(ref).attrs)
    except ImageNotFound as e:
        raise BuildError(
            f"the Docker engine has no image {ref}",
            hint=f"run: docker pull {ref}, or give the spec a build or registry for it",
        ) from e


def save(client: docker.DockerClient, ids: Sequence[str], spool: Path) -> tuple[Saved, ...]:
    """The images with these IDs, in this order, their files written to spool (an empty folder of ours).

    Raises BuildError if the stream differs from the engine's own description of an image.
    """
    expected = [tuple(inspect(client, image)["RootFS"]["Layers"]) for image in ids]
    url = f"{client.api.base_url}/v{client.api.api_version}/images/get"
    try:
        with client.api.get(url, params={"names": list(ids)}, stream=True) as response:
            response.raise_for_status()
            with progress.meter("save images of the Docker engine") as saved:
                members = _spool(cast(IO[bytes], _Stream(response, saved)), spool)
    except (requests.RequestException, APIError, tarfile.TarError) as e:
        raise BuildError(
            f"the Docker engine did not save its images: {e}", hint="see the engine's log"
        ) from e
    data = _member(members, "manifest.json").path.read_bytes()
    found = [_saved(entry, members) for entry in manifests.saved(data, "the Docker engine")]
    by_layers = {(saved_id(saved), tuple(x for x, _ in saved.layers)): saved for saved in found}
    return tuple(_pick(by_layers, image, layers) for image, layers in zip(ids, expected, strict=True))


def saved_id(saved: Saved) -> str:
    return oci.sha256(saved.config)


def _pick(found: Mapping[tuple[str, tuple[str, ...]], Saved], image: str, layers: tuple[str, ...]) -> Saved:
    """By config digest, which is the ID; an engine on containerd's store uses the manifest's instead."""
    exact = found.get((image, layers))
    alike = [saved for (_, have), saved in found.items() if have == layers]
    if exact is None and len(alike) != 1:
        raise BuildError(
            f"the Docker engine saved other layers of {image} than it lists",
            hint="remove the image and build or pull it again: the engine's store may be damaged",
        )
    return exact or alike[0]


class _Stream:
    """read(n) over a response of the engine; tarfile accepts short reads, which save a copy."""

    def __init__(self, response: requests.Response, meter: Meter) -> None:
        self._pieces = response.iter_content(_CHUNK)
        self._rest = b""
        self._meter = meter

    def read(self, size: int) -> bytes:
        piece = self._rest or next(self._pieces, b"")
        self._rest = piece[size:]
        self._meter.add(len(piece[:size]))
        return piece[:size]


def _spool(stream: IO[bytes], spool: Path) -> dict[str, _Member]:
    """Every file of a tar stream, stored under its digest; links stand for their targets."""
    members: dict[str, _Member] = {}
    links: dict[str, str] = {}
    with tarfile.open(fileobj=stream, mode="r|", bufsize=_CHUNK) as archive, Sha256() as hashed:
        for entry in archive:
            if entry.issym():
                folder = entry.name.rpartition("/")[0]
                links[entry.name] = _normal(f"{folder}/{entry.linkname}")
            elif entry.islnk():
                links[entry.name] = entry.linkname
            elif entry.isreg():
                source = archive.extractfile(entry)
                assert source is not None
                members[entry.name] = _keep(source, spool, hashed)
    return members | {name: members[target] for name, target in links.items() if target in members}


def _keep(source: IO[bytes], spool: Path, hashed: Sha256) -> _Member:
    part = spool / ".part"
    with part.open("wb", buffering=0) as sink:
        while chunk := source.read(_CHUNK):
            hashed.update(chunk)
            write_all(sink, chunk)
    digest = hashed.take()
    path = spool / digest
    part.rename(path)
    return _Member(digest=f"sha256:{digest}", path=path)


def _saved(entry: SavedImage, members: Mapping[str, _Member]) -> Saved:
    config = _member(members, entry.config).path.read_bytes()
    diff_ids = manifests.config(config, "an image of the Docker engine").rootfs.diff_ids
    files = [_member(members, name) for name in entry.layers]
    if len(files) != len(diff_ids):
        raise BuildError(
            f"the Docker engine saved {len(files)} layers of an image with {len(diff_ids)}",
            hint="remove the image and build or pull it again: the engine's store may be damaged",
        )
    layers = [_layer(member, diff_id) for member, diff_id in zip(files, diff_ids, strict=True)]
    return Saved(config=config, layers=tuple(layers))


def _layer(member: _Member, diff_id: str) -> tuple[str, Path]:
    if member.digest != diff_id:  # an engine on containerd's store saves layers as it pulled them
        member = _unpacked(member)
    if member.digest != diff_id:
        raise BuildError(
            f"the Docker engine saved a layer that is not {diff_id}",
            hint="remove the image and build or pull it again: the engine's store may be damaged",
        )
    return diff_id, member.path


def _unpacked(member: _Member) -> _Member:
    found = hashlib.sha256()
    target = member.path.with_suffix(".tar")
    try:
        with member.path.open("rb") as source, target.open("wb") as sink:
            for chunk in _gunzip(source):
                found.update(chunk)
                sink.write(chunk)
    except zlib.error:
        return member
    return _Member(digest=f"sha256:{found.hexdigest()}", path=target)


def _gunzip(source: IO[bytes]) -> Iterator[bytes]:
    inflate = zlib.decompressobj(wbits=31)
    while chunk := source.read(_CHUNK):
        while chunk:
            yield inflate.decompress(chunk, _CHUNK)
            chunk = inflate.unconsumed_tail
            if inflate.eof and inflate.unused_data:  # gzip may have several members
                chunk, inflate = inflate.unused_data, zlib.decompressobj(wbits=31)
    yield inflate.flush()


def _member(members: Mapping[str, _Member], name: str) -> _Member:
    try:
        return members[name]
    except KeyError:
        raise BuildError(
            f"the Docker engine's archive lacks {name}", hint="see the engine's log: its store may be damaged"
        ) from None


def _normal(path: str) -> str:
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts[-1:] = []
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
