# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any, cast

import docker
import pytest

from goldsmith.containers import docker_save, oci
from goldsmith.errors import BuildError

LAYERS = [b"base" * 100_000, b"top"]
CONFIG = oci.canonical({"rootfs": {"diff_ids": [oci.sha256(layer) for layer in LAYERS]}})
OTHER = oci.canonical({"rootfs": {"diff_ids": [oci.sha256(LAYERS[0])]}})


def archive(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as made:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            made.addfile(entry, io.BytesIO(data))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            made.addfile(entry)
    return sink.getvalue()


class Engine:
    """The part of docker's client that the code uses."""

    def __init__(self, stream: bytes, layers: dict[str, list[bytes]]) -> None:
        self.api = self.images = self
        self.base_url, self.api_version = "http+docker://localhost", "1.41"
        self._stream, self._layers = stream, layers

    def get(self, name: str, **_: Any) -> Any:
        if name.startswith("http"):
            return self
        self.attrs = {"RootFS": {"Layers": [oci.sha256(layer) for layer in self._layers[name]]}}
        return self

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None: ...

    def raise_for_status(self) -> None: ...

    def iter_content(self, _: int) -> Any:
        return iter([self._stream[i : i + 1000] for i in range(0, len(self._stream), 1000)])


def save(stream: bytes, tmp_path: Path, layers: dict[str, list[bytes]]) -> tuple[docker_save.Saved, ...]:
    client = cast(docker.DockerClient, Engine(stream, layers))
    return docker_save.save(client, list(layers), tmp_path)


def manifest(*entries: tuple[str, list[str]]) -> bytes:
    return json.dumps([{"Config": config, "Layers": names} for config, names in entries]).encode()


def test_images_are_returned_in_the_given_order_and_links_are_followed(tmp_path: Path) -> None:
    files = {"top/layer.tar": LAYERS[1], "base/layer.tar": LAYERS[0], "a.json": CONFIG, "b.json": OTHER}
    files["manifest.json"] = manifest(
        ("b.json", ["other/layer.tar"]), ("a.json", ["base/layer.tar", "top/layer.tar"])
    )
    stream = archive(files, {"other/layer.tar": "../base/layer.tar"})
    ids = {oci.sha256(CONFIG): LAYERS, oci.sha256(OTHER): LAYERS[:1]}
    first, second = save(stream, tmp_path, ids)
    assert (first.config, second.config) == (CONFIG, OTHER)
    assert [path.read_bytes() for _, path in first.layers] == LAYERS
    assert second.layers[0] == first.layers[0]


def test_a_compressed_layer_is_unpacked_and_compared(tmp_path: Path) -> None:
    names = ["blobs/sha256/one", "blobs/sha256/two"]
    files = dict(zip(names, map(gzip.compress, LAYERS), strict=True))
    files |= {"c": CONFIG, "manifest.json": manifest(("c", names))}
    (saved,) = save(archive(files), tmp_path, {"sha256:manifest": LAYERS})
    assert [path.read_bytes() for _, path in saved.layers] == LAYERS


def test_a_layer_that_differs_from_the_engines_list_is_refused(tmp_path: Path) -> None:
    files = {"1": LAYERS[0], "2": b"rotten", "c": CONFIG, "manifest.json": manifest(("c", ["1", "2"]))}
    with pytest.raises(BuildError, match="saved a layer that is not"):
        save(archive(files), tmp_path, {oci.sha256(CONFIG): LAYERS})


def test_an_image_with_other_layers_is_refused(tmp_path: Path) -> None:
    files = {"1": LAYERS[0], "c": OTHER, "manifest.json": manifest(("c", ["1"]))}
    with pytest.raises(BuildError, match="other layers of"):
        save(archive(files), tmp_path, {oci.sha256(CONFIG): LAYERS})


def test_a_stream_that_ends_early_is_refused(tmp_path: Path) -> None:
    files = {"1": LAYERS[0], "c": OTHER, "manifest.json": manifest(("c", ["1"]))}
    with pytest.raises(BuildError, match="did not save its images"):
        save(archive(files)[:100_000], tmp_path, {oci.sha256(OTHER): LAYERS[:1]})
