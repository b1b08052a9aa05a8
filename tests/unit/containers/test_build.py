# SPDX-License-Identifier: Apache-2.0
"""Builds of root file systems: the bootstrap is a stand-in, so none of this needs an engine or root."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.apt.indexes import IndexState
from goldsmith.apt.mirror import DEBIAN_VARIABLE, SECURITY_VARIABLE
from goldsmith.containers import bundler
from goldsmith.containers.bundler import Bundle
from goldsmith.core.runs import Run
from goldsmith.errors import BuildError
from goldsmith.spec.model import ContainerSpec, Layers
from tests.support import fakes

SPEC = ContainerSpec(ref="goldsmith.local/base:13", build="base")


def release(date: str) -> bytes:
    return f"Date: {date}\nSHA256:\n {'a' * 64} 9 main/binary-amd64/Packages\n".encode()


def index(update: str) -> IndexState:
    """Debian's index; update: when the list of its updates was last signed."""
    return IndexState(releases={
        "debian/dists/trixie/InRelease": release("Sat, 15 Nov 2025 09:00:00 UTC"),
        "debian/dists/trixie-updates/InRelease": release(update),
    })  # fmt: skip


TODAY, TOMORROW = index("Sat, 28 Nov 2026 09:00:00 UTC"), index("Sun, 29 Nov 2026 09:00:00 UTC")


@pytest.fixture
def bootstrap(
    fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[str], Path]:
    """Change the script that makes the root, whose target is $root; returns the list of its calls."""
    monkeypatch.setenv(DEBIAN_VARIABLE, "http://127.0.0.1:9/debian")
    monkeypatch.setenv(SECURITY_VARIABLE, "http://127.0.0.1:9/security")
    (tmp_path / "base").mkdir()
    (tmp_path / "base/rootfs.yaml").write_text("suite: trixie\n")
    fake("sudo", fakes.SUDO)
    fake("unshare", fakes.UNSHARE)
    work = tmp_path / "r"

    def change(script: str) -> Path:
        find = 'for root; do case "$root" in *root.tar) break ;; esac; done'
        make = f'mkdir -p {work}; cd {work}; {script}; tar -cf "$root" .'
        return fake("mmdebstrap", f"{find}\n{make}")

    return change


def export(tmp_path: Path, *, name: str = "run", state: IndexState = TODAY, refresh: bool = False) -> Bundle:
    (tmp_path / name).mkdir(exist_ok=True)
    return bundler.export(
        [SPEC], layers=Layers.uncompressed, run=Run(folder=tmp_path / name), log_path=tmp_path / "log",
        root=tmp_path, index={"trixie": state}, refresh=refresh,
    )  # fmt: skip


def test_a_root_of_another_day_and_host_has_the_same_digest(
    bootstrap: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap("mkdir -p b var/log; echo x > a; date +%N > var/log/dpkg.log")
    first = export(tmp_path)
    shutil.rmtree(tmp_path / "r")
    monkeypatch.setenv("GOLDSMITH_CACHE", str(tmp_path / "cache of another host"))

    again = export(tmp_path, state=TOMORROW)

    assert not again.reused
    assert again.images == first.images


def test_builds_side_by_side_make_an_image_once(bootstrap: Callable[[str], Path], tmp_path: Path) -> None:
    calls = bootstrap("sleep 0.3; echo x > a")
    found: list[Bundle] = []
    builds = [
        threading.Thread(target=lambda name=name: found.append(export(tmp_path, name=name)))
        for name in ("one", "two", "three")
    ]

    for build in builds:
        build.start()
    for build in builds:
        build.join(20)

    assert len({bundle.sha256 for bundle in found}) == 1
    assert len(found) == 3
    assert len(calls.read_text().splitlines()) == 1


def test_a_refresh_that_fails_leaves_the_earlier_image(
    bootstrap: Callable[[str], Path], tmp_path: Path
) -> None:
    bootstrap("echo x > a")
    first = export(tmp_path)
    bootstrap("exit 3")

    with pytest.raises(BuildError):
        export(tmp_path, refresh=True)

    again = export(tmp_path)
    assert (again.reused, again.sha256) == (True, first.sha256)


def test_a_refresh_names_what_differs_from_the_earlier_image(
    bootstrap: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bootstrap("mkdir -p etc; echo x > etc/same; echo 1 > etc/key")
    first = export(tmp_path)
    bootstrap("echo 2 > etc/key")

    again = export(tmp_path, refresh=True)

    assert again.images != first.images
    assert "in 1 paths of its layers\n" in (shown := capsys.readouterr().err)
    assert [line.strip() for line in shown.splitlines() if "|" in line] == ["| /etc/key"]
