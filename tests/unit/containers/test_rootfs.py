# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.containers import rootfs
from goldsmith.errors import BuildError, HostError, SpecError

Make = Callable[[], Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Call make() with an empty recipe; return the target path."""
    (tmp_path / "context").mkdir()
    (tmp_path / "context/rootfs.yaml").write_text("suite: trixie\n")
    (tmp_path / "work").mkdir()

    def call() -> Path:
        target = tmp_path / "root.tar"
        rootfs.make(
            tmp_path / "context", target, arch="amd64", epoch=1, source="http://127.0.0.1:9",
            work=tmp_path / "work", log_path=tmp_path / "log",
        )  # fmt: skip
        return target

    return call


def test_the_caller_owns_what_root_writes(
    make: Make, fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The file exists before sudo's program writes it; otherwise root would own it, closed to us."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    target = tmp_path / "root.tar"
    fake("sudo", f'[ "$2" = true ] || {{ test -f "{target}" && echo content > "{target}"; }}')

    assert make().read_text() == "content\n"


def test_without_root_nothing_starts(
    make: Make, fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    calls = fake("sudo", "echo 'a password is required' >&2; exit 1")

    with pytest.raises(HostError, match="a container's root file system needs root") as e:
        make()

    assert e.value.hint == "build as root, or run: sudo -v, then try again"
    assert calls.read_text().splitlines() == ["-n true"]


def test_links_of_a_context_stay_links(
    make: Make, fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The target of an absolute one is a file of the container; on the host it may be any file."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    fake("sudo", "")
    (tmp_path / "secret").write_text("of the host")
    (tmp_path / "context/files/etc").mkdir(parents=True)
    for name, text in {"file": str(tmp_path / "secret"), "folder": "/usr", "dangling": "nowhere"}.items():
        (tmp_path / "context/files/etc" / name).symlink_to(text)

    make()

    staged = tmp_path / "work/files/etc"
    assert {path.name: str(path.readlink()) for path in staged.iterdir()} == {
        "file": str(tmp_path / "secret"), "folder": "/usr", "dangling": "nowhere",
    }  # fmt: skip


def test_a_link_in_the_place_of_the_files_is_refused(make: Make, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "context/files").symlink_to(tmp_path / "outside")

    with pytest.raises(SpecError, match="files is a link"):
        make()


def test_a_warning_of_apt_about_an_index_ends_it(
    make: Make, fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    warning = "W: Conflicting distribution: x (expected trixie but got sid)"
    verbose = 'case "$*" in *mmdebstrap*--verbose*)'  # else it keeps what apt says while apt succeeds
    fake("sudo", f"{verbose} echo '{warning}' ;; esac")

    with pytest.raises(BuildError, match="while the root of context was made"):
        make()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("suite: trixie\nsuite: bookworm\n", r"rootfs.yaml:2: duplicate key 'suite'"),
        ("suite: [\n", "rootfs.yaml:2: not valid YAML"),
        ("suite: trixie\nsuit: x\n", "unexpected keyword argument 'suit'"),
        ("- trixie\n", "is not valid"),
    ],
)
def test_an_invalid_recipe_is_reported(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "rootfs.yaml").write_text(text)

    with pytest.raises(SpecError, match=why):
        rootfs.read(tmp_path)
