# SPDX-License-Identifier: Apache-2.0
"""Failing builds: exit code, message, hint, and no leftovers except the build folder."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goldsmith.core import paths
from tests.support import small_disks
from tests.support.builds import SPEC, invoked
from tests.support.tiny_builds import TinyPlace

pytestmark = pytest.mark.integration

_START_S = 120
_NO_DISK = {
    "build.log", "console.log", "inputs.json", "junit.xml", "lock.yaml", "packages.json", "resume.json",
    "sbom.cdx.json", "secrets.json", "spec.yaml",
}  # fmt: skip


@pytest.fixture(scope="module")
def place(make_place: Callable[[], TinyPlace]) -> TinyPlace:
    return make_place()


@pytest.fixture
def unmoved(tiny_place: TinyPlace, tiny_build: Path) -> Iterator[TinyPlace]:
    """Folders with a verified build; a failing build must not move latest."""
    before = tiny_place.latest()
    assert before is not None
    yield tiny_place
    assert tiny_place.latest() == before
    assert tiny_place.remains() == []


def files(build: Path) -> set[str]:
    return {path.name for path in build.iterdir()}


def test_failing_script_is_named_and_its_disk_removed(unmoved: TinyPlace) -> None:
    outcome = unmoved.build(fault="script")
    build = unmoved.builds()[-1]

    assert outcome.status == 4
    assert "error: diskimage-builder failed in cleanup.d/85-tiny-os" in outcome.stderr
    assert "tiny-os: fails, as it was told to" in outcome.stderr
    assert f"hint: full log: {build / 'build.log'}" in outcome.stderr
    assert files(build) == {"build.log", "spec.yaml"}


def test_full_image_is_reported(unmoved: TinyPlace) -> None:
    outcome = unmoved.build(fault="fill")

    assert outcome.status == 4
    assert "No space left on device" in outcome.stderr


def test_panic_ends_the_build_at_once_and_a_kept_disk_can_be_resumed(unmoved: TinyPlace) -> None:
    outcome = unmoved.build("--keep", fault="panic")
    build = unmoved.builds()[-1]
    again = unmoved.build("--from", "boot", fault="panic")
    other = unmoved.build("--from", "verify")
    (build / "tiny-amd64.qcow2").unlink()
    gone = unmoved.build("--from", "verify", fault="panic")

    for tried in (outcome, again):
        assert tried.status == 5
        assert "the VM was lost before its SSH server answered" in tried.stderr
        assert "Kernel panic - not syncing: Attempted to kill init!" in tried.stderr
    assert unmoved.builds()[-1] == build, "--from makes no new build"
    assert (other.status, gone.status) == (4, 4)
    assert "have changed since: the spec" in other.stderr
    assert "has no disk image any more" in gone.stderr
    assert files(build) - {"keep"} <= {*_NO_DISK, "tiny-amd64.qcow2.sha256"}


def test_disk_without_a_boot_loader_never_boots(unmoved: TinyPlace) -> None:
    outcome = unmoved.build("--var", "boot_deadline=15", fault="no-boot-loader")

    assert outcome.status == 5
    assert "no SSH banner after" in outcome.stderr
    assert "  | Booting from Hard Disk" in outcome.stderr
    assert "tiny-amd64.qcow2" not in files(unmoved.builds()[-1])


def test_host_key_left_in_the_image_fails_verification(unmoved: TinyPlace) -> None:
    outcome = unmoved.build(fault="host-key")

    assert outcome.status == 6
    assert re.search(r"\b1 of \d+ tests failed", outcome.stderr)
    assert "test_no_ssh_host_keys" in outcome.stderr
    assert "tiny-amd64.qcow2" not in files(unmoved.builds()[-1])


def test_unreachable_mirror_is_named_before_anything_is_built(place: TinyPlace) -> None:
    gone = {"GOLDSMITH_DEBIAN_MIRROR": "http://127.0.0.1:1/"}
    build = place.inv("build-image", "debian-kubelet", env=gone)
    export = place.inv("export-images", "debian-kubelet", env=gone)

    assert build.status == 3
    assert "cannot read http://127.0.0.1:1/dists/trixie/InRelease" in build.stderr
    assert not place.builds("debian-kubelet")
    assert export.status in {3, 4}
    assert "Connection refused" in export.stderr
    assert "hint: check the network, or name a mirror in GOLDSMITH_DEBIAN_MIRROR" in export.stderr
    assert place.remains() == []


def test_engine_that_does_not_answer_is_named(place: TinyPlace) -> None:
    outcome = place.inv("build-image", "debian-kubelet", env={"DOCKER_HOST": "unix:///nonexistent.sock"})

    assert outcome.status == 3
    assert "no Docker engine answers at DOCKER_HOST=unix:///nonexistent.sock" in outcome.stderr
    assert "hint: run: scripts/inv doctor" in outcome.stderr
    assert place.remains() == []


@pytest.mark.parametrize(
    ("which", "status", "message"),
    [
        ("out", 3, "hint: run: scripts/inv clean, or set GOLDSMITH_OUT to a larger disk"),
        ("s", 4, "No space left on device"),  # diskimage-builder is the first to notice
    ],
)
def test_disk_that_fills_up_during_the_build_is_reported(
    make_place: Callable[[], TinyPlace], which: str, status: int, message: str
) -> None:
    place = make_place()
    full, log = place.root / which, place.root / "build.log"
    with small_disks.mounted(place.root, full, mib=1700):
        with invoked(place.environment(), "build-image", SPEC, log=log) as build:
            place.wait_for_log("root.d/10-tiny-os", build, timeout_s=_START_S)
            with small_disks.filled(full, mib=1700):
                problems = build.expect(status)
        of_the_disk = (f"folder {full / 'lost+found'}", f"mount {full}")
        remains = [line for line in place.remains() if line not in of_the_disk]

    assert problems == []
    assert message in log.read_text()
    assert remains == []


def test_download_with_another_hash_is_refused(place: TinyPlace, tmp_path: Path) -> None:
    image = tmp_path / "base.qcow2"
    image.write_bytes(b"not what was promised")
    spec = tmp_path / "wrong.yaml.j2"
    spec.write_text(
        "name: wrong\ndistribution: fedora\nrelease: '42'\ncontainers: []\n"
        f"base-image:\n  url: file://{image}\n  sha256: '{'0' * 64}'\n"
    )

    outcome = place.inv("build-image", spec)

    assert outcome.status == 4, outcome.stderr
    assert "sha256" in outcome.stderr
    assert "0" * 64 in outcome.stderr
    assert not list(place.cache.glob("*/.new-*"))


def clone(at: Path) -> None:
    """Copy the files of this checkout, committed or not."""
    shutil.copytree(
        paths.project_root(), at, symlinks=True,
        ignore=shutil.ignore_patterns(".venv*", "out", ".*_cache", "__pycache__"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def checkout(place: TinyPlace) -> Path:
    """A copy of the checkout in a folder with a space, that belongs to root."""
    folder = place.root / "a b" / "goldsmith"
    clone(folder)
    return folder


def test_image_is_not_verified_when_no_test_runs(
    place: TinyPlace, tiny_build: Path, checkout: Path, tmp_path: Path
) -> None:
    shutil.copytree(checkout, tmp_path / "untested")
    suites = list((tmp_path / "untested/goldsmith/verify/suites").glob("*/test_*.py"))
    assert suites
    for suite in suites:
        suite.unlink()

    outcome = place.inv(
        "verify-image", tiny_build / "tiny-amd64.qcow2", "--out", tmp_path / "verdict",
        checkout=tmp_path / "untested",
    )  # fmt: skip

    assert outcome.status == 6
    assert "error: no test ran" in outcome.stderr
