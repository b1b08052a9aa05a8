# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.layers import bolt, tree_diff


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
        (lambda root: root.chmod(0o700), "/"),
        (lambda root: os.setxattr(root / "etc/hosts", "user.a", b"1"), "/etc/hosts"),
    ],
)
def test_what_differs_is_named(roots: tuple[Path, Path], change: Callable[[Path], object], path: str) -> None:
    change(roots[1])

    assert tree_diff.differing(*roots) == (path,)


def test_of_containerds_database_the_times_do_not_count(
    roots: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file differs as a whole; its entries are read by a stand-in: key=value, separated by spaces."""
    for root, content in zip(roots, ("size=1 createdat=3", "createdat=4 size=1"), strict=True):
        for path in tree_diff._DATABASES:
            database = root / path.removeprefix("/")
            database.parent.mkdir(parents=True)
            database.write_text(content)

    def entries(data: bytes) -> list[tuple[tuple[bytes, ...], bytes]]:
        words = (word.partition(b"=") for word in sorted(data.split()))
        return [((b"v1", key), value) for key, _, value in words]

    monkeypatch.setattr(bolt, "entries", entries)

    assert tree_diff.differing(*roots) == ()
    database.write_text("createdat=4 size=2")
    assert tree_diff.differing(*roots) == (f"/{database.relative_to(roots[1])}",)
