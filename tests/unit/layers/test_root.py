# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from goldsmith.apt.indexes import IndexState
from goldsmith.core import cache, paths
from goldsmith.image import packages
from goldsmith.kubernetes.kubelet import KubeletBinary
from goldsmith.layers import root
from goldsmith.layers.root import Made
from goldsmith.spec import load
from goldsmith.spec.model import (
    ContainerSpec,
    DiskSpec,
    Hardware,
    KubeletSource,
    PartitionTable,
    VerifySpec,
)

LOADED = load.load("debian-kubelet")


def in_release(digest: str, date: str = "01 Nov 2025") -> bytes:
    return (
        f"Date: Sat, {date} 10:00:00 UTC\nSHA256:\n"
        f" {digest * 64} 9 main/binary-amd64/Packages.xz\n {digest * 64} 9 main/binary-amd64/Packages\n"
    ).encode()


INDEX = IndexState(releases={"dists/trixie/InRelease": in_release("a")})
KUBELET = KubeletBinary(path=Path("k"), version="1.35.4", source=KubeletSource.go_module, sha256="1")


PARTS = {"a": "1", "the package index": "2"}


def key(
    *,
    index: IndexState = INDEX,
    binary: KubeletBinary | None = KUBELET,
    mapper: str = "blkpg",
    **changes: Any,
) -> str:
    loaded = dataclasses.replace(LOADED, spec=dataclasses.replace(LOADED.spec, **changes))
    return root.key_of(root.parts_of(loaded, index=index, binary=binary, mapper=mapper))


def test_specs_that_differ_in_what_is_embedded_or_said_share_a_root() -> None:
    more = (*LOADED.spec.containers, ContainerSpec(ref="localhost/more:1"))

    assert key() == key(
        name="another", containers=more, verify=VerifySpec(cpus=4), disk=DiskSpec(size_mib=8192)
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"packages": ("strace",)},
        {"hardware": Hardware.any},
        {"elements": ("sysctl",)},
        {"dib_env": {"DIB_BOOTLOADER_DEFAULT_CMDLINE": "quiet"}},
        {"containers": (ContainerSpec(ref="localhost/pause:2"),)},  # containerd's sandbox
        {"kubelet": None},
        {"index": IndexState(releases={"dists/trixie/InRelease": in_release("b")})},
        {"binary": dataclasses.replace(KUBELET, sha256="2")},
        {"mapper": "device-mapper"},
        {"disk": DiskSpec(partition_table=PartitionTable.mbr)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_a_root_is_made_of_changes_its_key(changes: dict[str, Any]) -> None:
    assert key(**changes) != key()


def test_an_index_that_was_only_signed_again_changes_nothing() -> None:
    again = IndexState(releases={"dists/trixie/InRelease": in_release("a", "02 Nov 2025")})

    assert key(index=again) == key()
    other = {"DIB_DEBIAN_COMPONENTS": "main,contrib"}  # whose packages its hash does not cover
    assert key(index=again, dib_env=other) != key(dib_env=other)


def test_the_code_that_makes_a_root_is_part_of_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()

    monkeypatch.setattr(root, "_CODE", "apt")
    assert key() != before


def parts_with(elements: Path) -> dict[str, str]:
    return root.parts_of(dataclasses.replace(LOADED, elements=(elements, *LOADED.elements)))


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("kubelet/install.d/50-kubelet", True),
        ("kubelet/kubelet-files/kubelet.yaml", True),
        ("heat-config-kubelet/package-installs.yaml", True),
        ("heat-config-kubelet/hook-files/hook-kubelet", False),  # it comes with the containers
        ("heat-config-kubelet/embed-files/import-images", False),
    ],
)
@pytest.mark.parametrize("how", ["content", "mode"])
def test_a_changed_file_of_an_element_is_a_changed_part(
    tmp_path: Path, path: str, counts: bool, how: str
) -> None:
    name = path.partition("/")[0]
    shutil.copytree(paths.shipped("elements") / name, tmp_path / name)
    before, file = parts_with(tmp_path), tmp_path / path
    assert before == root.parts_of(LOADED)

    if how == "content":
        file.write_bytes(file.read_bytes() + b"\n")
    else:
        file.chmod(file.stat().st_mode ^ 0o111)

    after = parts_with(tmp_path)
    changed = [part for part in {**before, **after} if before.get(part) != after.get(part)]
    assert changed == ([f"element {name}: {path.removeprefix(name + '/')}"] if counts else [])


def test_a_file_of_the_host_that_a_variable_names_is_a_part(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a key")
    before = key(dib_env={"DIB_SOME_KEYS": str(tmp_path / "keys")})

    (tmp_path / "keys").write_text("another")

    assert key(dib_env={"DIB_SOME_KEYS": str(tmp_path / "keys")}) != before


def test_a_root_whose_packages_left_the_cache_is_made_again(tmp_path: Path) -> None:
    """An archive of its lock takes them from there."""
    made = []

    def build() -> Made:
        made.append(1)
        entry = cache.cached("debian", "a", lambda folder: (folder / "x").touch())
        for name in ("disk", "packages", "log"):
            (tmp_path / name).write_text(name)
        os.utime(entry, (1, 1))
        return Made(disk=tmp_path / "disk", packages=tmp_path / "packages", log=tmp_path / "log", epoch=7)

    root.obtain(PARTS, build, again=False)
    root.obtain(PARTS, build, again=False)
    entry = paths.cache_root() / "debian/a"
    assert (len(made), entry.stat().st_mtime > 1) == (1, True), "it is as old as its last use"

    shutil.rmtree(entry)
    layer = root.obtain(PARTS, build, again=False)
    assert (len(made), layer.reused) == (2, False)


def test_a_root_is_made_once_and_kept_with_its_packages_and_what_it_used(tmp_path: Path) -> None:
    made = []

    def build() -> Made:
        made.append(tmp_path)
        cache.cached("download", "a", lambda folder: (folder / "x").touch())
        for name in ("disk", "packages", "log"):
            (tmp_path / name).write_text(name)
        return Made(disk=tmp_path / "disk", packages=tmp_path / "packages", log=tmp_path / "log", epoch=7)

    first = root.obtain(PARTS, build, again=False)
    second = root.obtain(PARTS, build, again=False)

    assert len(made) == 1
    assert (first.reused, second.reused) == (False, True)
    assert second.disk.read_text() == "disk"
    assert second.packages.name == packages.FILE
    assert second.used == first.used == {("download", "a")}
    assert second.epoch == first.epoch == 7

    (second.disk).write_text("another")  # somebody wrote to it
    root.obtain(PARTS, build, again=False)
    root.obtain(PARTS, build, again=True)
    assert len(made) == 3


def kept(name: str, parts: str) -> None:
    """A root in the cache."""

    def make(folder: Path) -> None:
        (folder / "parts.json").write_text(parts)

    cache.cached(root.KIND, name, make)


def test_the_parts_that_changed_are_those_of_the_nearest_root() -> None:
    assert root.changed(PARTS) is None
    kept("far", json.dumps({"a": "9", "b": "9"}))
    kept("near", json.dumps({"a": "1", "the package index": "old"}))

    assert root.changed(PARTS) == ["the package index"]
    assert root.changed({"a": "1"}) == []  # a plan does not know the index
    assert root.changed({"a": "2", "the package index": "old"}) == ["a"]


def test_a_broken_root_is_none() -> None:
    kept("broken", "{")

    assert root.changed(PARTS) is None
