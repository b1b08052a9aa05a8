# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from goldsmith.apt.indexes import IndexState
from goldsmith.core import cache
from goldsmith.image import packages
from goldsmith.kubernetes.kubelet import KubeletBinary
from goldsmith.layers import root
from goldsmith.layers.root import Made
from goldsmith.spec import load
from goldsmith.spec.model import ContainerSpec, Hardware, KubeletSource, VerifySpec

LOADED = load.load("debian-kubelet")
IN_RELEASE = b"Date: Sat, 01 Nov 2025 10:00:00 UTC\n"
INDEX = IndexState(releases={"dists/trixie/InRelease": IN_RELEASE})
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

    assert key() == key(name="another", containers=more, verify=VerifySpec(cpus=4))


@pytest.mark.parametrize(
    "changes",
    [
        {"packages": ("strace",)},
        {"hardware": Hardware.any},
        {"elements": ("sysctl",)},
        {"dib_env": {"DIB_BOOTLOADER_DEFAULT_CMDLINE": "quiet"}},
        {"containers": (ContainerSpec(ref="localhost/pause:2"),)},  # containerd's sandbox
        {"kubelet": None},
        {"index": IndexState(releases={"dists/trixie/InRelease": IN_RELEASE + b"Suite: x\n"})},
        {"binary": dataclasses.replace(KUBELET, sha256="2")},
        {"mapper": "device-mapper"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_a_root_is_made_of_changes_its_key(changes: dict[str, Any]) -> None:
    assert key(**changes) != key()


def test_the_code_that_makes_it_and_the_elements_are_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()

    monkeypatch.setattr(root, "_CODE", "apt")
    assert key() != before


def test_a_root_is_made_once_and_kept_with_its_packages_and_what_it_used(tmp_path: Path) -> None:
    made = []

    def build() -> Made:
        made.append(tmp_path)
        cache.cached("download", "a", lambda folder: (folder / "x").touch())
        for name in ("disk", "packages", "log"):
            (tmp_path / name).write_text(name)
        return Made(disk=tmp_path / "disk", packages=tmp_path / "packages", log=tmp_path / "log")

    first = root.obtain(PARTS, build, again=False)
    second = root.obtain(PARTS, build, again=False)

    assert len(made) == 1
    assert (first.reused, second.reused) == (False, True)
    assert second.disk.read_text() == "disk"
    assert second.packages.name == packages.FILE
    assert second.used == first.used == {("download", "a")}

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
