# SPDX-License-Identifier: Apache-2.0
"""What a build that failed says of the latest verified one."""

from __future__ import annotations

import hashlib
import json
import lzma
import urllib.error
from pathlib import Path
from typing import Any

import pytest

from goldsmith.apt import indexes
from goldsmith.apt.indexes import IndexState
from goldsmith.changes import red_build
from goldsmith.provenance import lockfile, spec_lock
from goldsmith.provenance.lockfile import Lock
from goldsmith.spec import load
from goldsmith.spec.load import LoadedSpec
from tests.support import samples

GREEN, RED = "20260301T120000Z-abcdefa", "20260302T120000Z-abcdefa"
SPEC = "name: mine\ndistribution: debian\nrelease: trixie\ncontainers: []\ndib-env: {DIB_X: '1'}\n"
LISTED = "Package: bash\nVersion: 5.2-10\nArchitecture: amd64\nSHA256: " + "e" * 64 + "\n"


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedSpec:
    (tmp_path / "mine.yaml.j2").write_text(SPEC.replace("'1'", "'2'"))
    return load.load(str(tmp_path / "mine.yaml.j2"))


@pytest.fixture
def red(tmp_path: Path) -> Path:
    """The folder of a build that has made nothing so far, beside a verified one."""
    green = samples.build(tmp_path / "out/mine" / GREEN)
    (green / "spec.yaml").write_text(SPEC)
    (green.parent / "latest").symlink_to(GREEN)
    folder = green.with_name(RED)
    folder.mkdir()
    return folder


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_build_that_made_nothing_differs_in_what_it_was_to_be_made_of(
    loaded: LoadedSpec, red: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    red_build.note_differences(loaded, red)

    lines = told(capsys)
    assert lines[:3] == [f"{RED}, after {GREEN}", "  spec (1)", "    ~ dib-env.DIB_X 1 -> 2"]
    assert f"    - e {'1' * 12}" in lines  # an element
    assert lines[-4:] == [
        "  not compared (2)", f"    ? kernel: not recorded in {RED}",
        f"    ? packages: not recorded in {RED}", "  size no disk image",
    ]  # fmt: skip


def test_what_a_build_has_made_is_compared(
    loaded: LoadedSpec, red: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = {"name": "bash", "version": "5.3", "architecture": "amd64", "sha256": "c" * 64, "suite": None}
    (red / "packages.json").write_text(json.dumps(samples.packages(one)))

    red_build.note_differences(loaded, red)

    lines = told(capsys)
    assert "    ~ bash 5.2 -> 5.3" in lines
    assert not [line for line in lines if "not recorded" in line]


def test_without_a_verified_build_there_is_nothing_to_compare_with(
    loaded: LoadedSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    red_build.note_differences(loaded, tmp_path)

    assert told(capsys) == ["there is no verified build of mine to compare with"]


def test_a_verified_build_that_cannot_be_read_hides_no_failure(
    loaded: LoadedSpec, red: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (red.with_name(GREEN) / "manifest.json").write_text("{")

    red_build.note_differences(loaded, red)
    red_build.note_packages(loaded, red, IndexState(releases={}))

    lines = told(capsys)
    assert len(lines) == 2
    assert all(line.startswith("cannot tell what differs from the latest verified build: ") for line in lines)


def test_an_error_that_nobody_expects_does_not_replace_the_builds_own(
    loaded: LoadedSpec, red: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class MissingElementError(Exception):
        """As diskimage-builder raises it, which is of no class that we know."""

    def fail(*_: object) -> None:
        raise MissingElementError("element vm-x not found")

    monkeypatch.setattr("goldsmith.image.element_hashes.files", fail)
    monkeypatch.setattr("goldsmith.provenance.lockfile.read", fail)

    red_build.note_differences(loaded, red)
    red_build.note_packages(loaded, red, IndexState(releases={}))

    lines = told(capsys)
    assert len(lines) == 2
    assert all(line.endswith("verified build: MissingElementError: element vm-x not found") for line in lines)


def index_of(date: str) -> IndexState:
    data = lzma.compress(LISTED.encode())
    listed = f" {hashlib.sha256(data).hexdigest()} {len(data)} main/binary-amd64/Packages.xz\n"
    return IndexState(releases={"debian/dists/trixie/InRelease": f"Date: {date}\nSHA256:\n{listed}".encode()})


def lock(folder: Path, index: IndexState) -> None:
    about: dict[str, Any] = {
        "schema": Lock.SCHEMA, "version": 1, "name": "mine", "distribution": "debian", "release": "trixie",
        "arch": "amd64", "build": {"id": GREEN, "commit": "c" * 40}, "index": spec_lock.about([index]),
        "spec": "5" * 64, "python": {}, "elements": {}, "base-image": None, "contexts": {}, "kubelet": None,
        "containers": {"images": []},
        "packages": [{"name": "bash", "version": "5.2-1", "architecture": "amd64", "sha256": "a" * 64}],
    }  # fmt: skip
    lockfile.write(folder / spec_lock.FILE, Lock.parse(about, "lock"))


OLD, NEW = "Sat, 28 Nov 2026 02:15:35 GMT", "Sun, 29 Nov 2026 02:15:35 GMT"


@pytest.fixture
def mirrored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "Packages.xz").write_bytes(lzma.compress(LISTED.encode()))
    monkeypatch.setenv("GOLDSMITH_DEBIAN_MIRROR", "http://deb.test/debian")
    monkeypatch.setattr(indexes, "open_url", lambda _url: (tmp_path / "Packages.xz").open("rb"))


@pytest.mark.usefixtures("mirrored")
def test_another_index_is_compared_with_the_packages_of_the_verified_build(
    loaded: LoadedSpec, red: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock(red.with_name(GREEN), index_of(OLD))

    red_build.note_packages(loaded, red, index_of(NEW))

    assert told(capsys)[-2:] == [
        f"packages of {GREEN} that Debian's index has in another version: 1",
        "  ~ bash:amd64 5.2-1 -> 5.2-10 (no mirror has it any more)",
    ]


def test_the_same_index_is_said_to_be_that(
    loaded: LoadedSpec, red: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock(red.with_name(GREEN), index_of(OLD))

    red_build.note_packages(loaded, red, index_of(OLD))
    red_build.note_packages(loaded, red, None)

    assert told(capsys) == [f"Debian's index is that of {GREEN}"]


@pytest.mark.usefixtures("mirrored")
def test_a_mirror_that_does_not_answer_hides_no_failure(
    loaded: LoadedSpec, red: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_url: str) -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(indexes, "open_url", refuse)
    lock(red.with_name(GREEN), index_of(OLD))

    red_build.note_packages(loaded, red, index_of(NEW))

    assert "cannot tell what differs from the latest verified build: cannot fetch" in told(capsys)[-1]
