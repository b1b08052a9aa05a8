# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.soak import rebuild, tree_diff


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, Path]:
    """Two root file systems with the same in them, made at different times."""
    one = tmp_path / "one"
    (one / "etc").mkdir(parents=True)
    (one / "etc/hosts").write_text("localhost")
    (one / "etc/link").symlink_to("hosts")
    (one / "empty").mkdir()
    other = tmp_path / "other"
    shutil.copytree(one, other, symlinks=True)
    os.utime(other / "etc/hosts", (1, 1))
    return one, other


def test_times_do_not_count(roots: tuple[Path, Path]) -> None:
    assert tree_diff.differing(*roots) == ()


def _relink(path: Path) -> None:
    path.unlink()
    path.symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda root: (root / "etc/hosts").write_text("another"), "/etc/hosts"),
        (lambda root: (root / "etc/hosts").chmod(0o600), "/etc/hosts"),
        (lambda root: _relink(root / "etc/link"), "/etc/link"),
        (lambda root: (root / "etc/new").touch(), "/etc/new"),
        (lambda root: (root / "empty").rmdir(), "/empty"),
    ],
)
def test_what_differs_is_named(roots: tuple[Path, Path], change: Callable[[Path], object], path: str) -> None:
    change(roots[1])

    assert tree_diff.differing(*roots) == (path,)


def test_an_exception_has_a_reason_and_fits_the_whole_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild, "EXCEPTIONS", {r"/boot/grub/.*\.cfg": "it names the file system"})

    assert rebuild.excepted("/boot/grub/grub.cfg") == "it names the file system"
    assert rebuild.excepted("/boot/grub/grub.cfg.d/x") is None
    assert rebuild.excepted("/x/boot/grub/grub.cfg") is None
