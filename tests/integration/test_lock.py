# SPDX-License-Identifier: Apache-2.0
"""A lock made from a real build, and builds with that lock."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.core import paths
from goldsmith.provenance import lockfile
from goldsmith.provenance.lockfile import LockedPackage
from tests.support.builds import SPEC
from tests.support.tiny_builds import TinyPlace

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def place(make_place: Callable[[], TinyPlace]) -> TinyPlace:
    """A separate place, because `latest` moves in it."""
    return make_place()


@pytest.fixture(scope="module")
def build(place: TinyPlace, tiny_build: Path) -> Path:
    """A verified build that was made elsewhere and copied here as `latest`."""
    copied = place.out / "tiny" / tiny_build.name
    shutil.copytree(tiny_build, copied)
    (copied.parent / "latest").symlink_to(copied.name)
    return copied


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """The tiny spec in its own folder, with room for its lock beside it."""
    shutil.copytree(paths.project_root() / SPEC.parent, tmp_path / "specs")
    return tmp_path / "specs" / SPEC.name


def test_a_build_with_the_lock_of_another_has_the_same_parts(
    place: TinyPlace, build: Path, spec: Path
) -> None:
    path = spec.with_name("tiny.lock.yaml")
    assert "there is no tiny.lock.yaml" in place.inv("build-image", spec, "--locked").stderr

    made = place.inv("lock", spec, "--build", build.name)
    assert made.status == 0, made.stderr
    locked = lockfile.read(path)
    assert locked.build.id == build.name
    assert "tiny-os" in locked.elements

    again = place.inv("build-image", spec, "--locked", "--force")
    assert again.status == 0, again.stderr
    assert json.loads(place.inv("outdated", spec, "--json").stdout)["moved"] == []


def test_the_archive_of_a_lock_is_imported_into_an_empty_cache(
    place: TinyPlace, build: Path, spec: Path, tmp_path: Path
) -> None:
    assert place.inv("lock", spec, "--build", build.name).status == 0
    path, archive = spec.with_name("tiny.lock.yaml"), tmp_path / "tiny.tar"
    before = path.read_bytes()

    exported = place.inv("lock", spec, "--export", archive, "--json")
    assert exported.status == 0, exported.stderr
    path.unlink()
    imported = place.inv(
        "lock", spec, "--import", archive, "--json", env={"GOLDSMITH_CACHE": str(tmp_path / "cache")}
    )

    assert imported.status == 0, imported.stderr
    assert json.loads(imported.stdout)["sha256"] == json.loads(exported.stdout)["sha256"]
    assert path.read_bytes() == before


def test_a_build_that_differs_from_its_lock_is_never_verified(
    place: TinyPlace, build: Path, spec: Path
) -> None:
    """As if a package of the lock had not been installed."""
    assert place.inv("lock", spec, "--build", build.name).status == 0
    path, latest = spec.with_name("tiny.lock.yaml"), place.latest()
    lost = LockedPackage(name="lost", version="1", architecture="amd64", sha256="0" * 64)
    locked = lockfile.read(path)
    lockfile.write(path, dataclasses.replace(locked, packages=(*locked.packages, lost)))

    done = place.inv("build-image", spec, "--locked", "--force")

    assert done.status == 9
    assert "differs from tiny.lock.yaml (changed in: upstream)" in done.stderr
    assert "lost:amd64" in done.stderr
    assert place.latest() == latest
    assert list(place.builds()[-1].glob("*.qcow2")) == []


def test_a_checkout_that_moved_is_named_before_anything_is_built(
    place: TinyPlace, build: Path, spec: Path
) -> None:
    assert place.inv("lock", spec, "--build", build.name).status == 0
    (spec.parent / "elements/tiny-os/README.rst").write_text("changed\n")

    done = place.inv("build-image", spec, "--locked", "--force")

    assert done.status == 9
    assert "(changed in: checkout)" in done.stderr
    assert "tiny-os" in done.stderr
    assert "image ..." not in done.stderr
    assert "the checkout differs from that of build" in place.inv("lock", spec, "--build", build.name).stderr


def test_an_existing_lock_changes_only_if_asked(place: TinyPlace, build: Path, spec: Path) -> None:
    path = spec.with_name("tiny.lock.yaml")
    words = ("lock", spec, "--build", build.name)
    assert place.inv(*words).status == 0
    changed = dataclasses.replace(lockfile.read(path), python={"requirements.lock": "0"}, spec="1")
    lockfile.write(path, changed)

    assert "exists already" in place.inv(*words).stderr
    assert place.inv(*words, "--upgrade", "python").status == 0
    assert lockfile.read(path).spec == "1"
    said = place.inv(*words, "--upgrade").stdout
    assert [word in said for word in ("spec", "python")] == [True, False]
    assert lockfile.read(path).spec != "1"
