# SPDX-License-Identifier: Apache-2.0
"""The package indexes of a build: of the image and of its container images, locked or today's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.apt import indexes, store
from goldsmith.apt.indexes import Accepted, IndexState
from goldsmith.core import paths
from goldsmith.provenance import spec_lock
from goldsmith.provenance.lockfile import Lock
from goldsmith.spec import load
from goldsmith.spec.model import ContainerSpec, Distribution, ImageSpec
from tests.support import installed

LOCK = {
    "schema": "goldsmith.lock", "version": 1, "name": "a", "distribution": "debian", "release": "trixie",
    "arch": "amd64", "build": {"id": "one", "commit": "nogit"}, "spec": "5" * 64, "python": {},
    "elements": {}, "base-image": None, "contexts": {}, "kubelet": None, "containers": {"images": []},
    "packages": [],
}  # fmt: skip
DAY = "Date: Sat, 21 Nov 2026 09:15:44 UTC"


def state(suite: str, day: str = DAY) -> IndexState:
    return IndexState(releases={path: f"{day}\n{path}\n".encode() for path in indexes.paths_of(suite)})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The suites whose current index was asked for."""
    found: list[str] = []

    def current(suite: str, _mirrors: object, *_accepted: object, **_pinned: object) -> IndexState:
        found.append(suite)
        return state(suite)

    monkeypatch.setattr(indexes, "current", current)
    monkeypatch.setenv("GOLDSMITH_DEBIAN_MIRROR", "http://deb.test/debian")
    monkeypatch.setenv("GOLDSMITH_DEBIAN_SECURITY_MIRROR", "http://deb.test/security")
    return found


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ContainerSpec]:
    """recipe(SUITE): a container image made of packages of a suite."""
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)

    def made(suite: str) -> ContainerSpec:
        (tmp_path / "containers" / suite).mkdir(parents=True)
        (tmp_path / "containers" / suite / "rootfs.yaml").write_text(f"suite: {suite}\n")
        return ContainerSpec(ref=f"goldsmith.local/{suite}:1", build=f"containers/{suite}")

    return made


def spec_of(distribution: str, *containers: ContainerSpec) -> ImageSpec:
    return ImageSpec(
        name="a", distribution=Distribution(distribution), release="trixie", containers=containers
    )


def lock_of(*states: IndexState) -> Lock:
    found = {path: text for each in states for path, text in each.releases.items()}
    return Lock.parse({**LOCK, "index": {path: indexes.about(x, path) for path, x in found.items()}}, "lock")


@pytest.mark.parametrize(
    ("distribution", "suites", "wanted"),
    [
        ("debian", [], ["trixie"]), ("debian", ["trixie", "bookworm"], ["trixie", "bookworm"]),
        ("custom", [], []), ("custom", ["forky"], ["forky"]), ("fedora", ["trixie"], ["trixie"]),
    ],
)  # fmt: skip
def test_image_and_containers_have_the_indexes_of_their_suites_and_a_locked_build_asks_no_mirror(
    asked: list[str], recipe: Callable[[str], ContainerSpec], distribution: str, suites: list[str],
    wanted: list[str],
) -> None:  # fmt: skip
    spec = spec_of(distribution, *map(recipe, suites))

    first = spec_lock.index_states(spec, None)
    assert (list(first), asked) == (wanted, wanted)

    asked.clear()
    again = spec_lock.index_states(spec, lock_of(*first.values()))
    assert asked == []
    assert again == {suite: dataclasses.replace(each, pinned=True) for suite, each in first.items()}


def test_a_lock_of_before_containers_had_their_indexes_in_it_is_read(
    asked: list[str], recipe: Callable[[str], ContainerSpec]
) -> None:
    store.keep(state("trixie"))
    found = spec_lock.index_states(spec_of("debian", recipe("bookworm")), lock_of(state("trixie")))
    assert asked == ["bookworm"]
    assert {suite: each.pinned for suite, each in found.items()} == {"trixie": True, "bookworm": False}


def test_a_locked_index_that_the_cache_lost_is_asked_for_as_a_whole(asked: list[str]) -> None:
    store.keep(IndexState(releases=dict(list(state("trixie").releases.items())[:2])))
    found = spec_lock.index_states(spec_of("debian"), lock_of(state("trixie")))
    assert asked == ["trixie"]
    assert not found["trixie"].pinned


def test_what_is_accepted_and_what_the_lock_names_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:
    given: list[object] = []

    def current(suite: str, _mirrors: object, accepted: Accepted, *, pinned: object) -> IndexState:
        given.append((accepted, pinned))
        return state(suite)

    monkeypatch.setattr(indexes, "current", current)
    locked = lock_of(state("trixie"))
    older = Accepted(older=True)

    spec_lock.index_states(spec_of("debian"), locked, older)
    spec_lock.index_states(spec_of("debian"), None)

    assert locked.index is not None
    assert given == [(older, {path: each["sha256"] for path, each in locked.index.items()}), (Accepted(), {})]


def test_an_installed_goldsmith_keeps_the_lock_of_a_shipped_spec_among_the_users_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = installed.pretend(tmp_path, monkeypatch)

    path = spec_lock.path_of(load.load("debian-kubelet"))

    assert path == site / "image-specs/debian-kubelet.lock.yaml"
