# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from goldsmith.core.paths import project_root

ELEMENT = project_root() / "elements/goldsmith-identity"
DPKG = (
    r"bash\t5.2-1\tamd64\tii \tbash\t5.2-1\nold\t1\tall\trc \told\t1\n"
    r"local\t1\tall\tii \tlocal-src\t1\n"
)
OS_RELEASE = 'NAME="Debian GNU/Linux"\nID=debian\nVERSION_ID="13"\n'
PACKAGES = """\
Package: bash
Version: 5.2-1
Architecture: amd64
Description: a shell
 with: a colon in a continuation line
SHA256: aaa

Package: bash
Version: 5.2-2
Architecture: amd64
SHA256: bbb
"""


@pytest.fixture
def root(tmp_path: Path, fake: Callable[..., Path]) -> Path:
    """A Debian root; what is asked of its programs is answered by a chroot that is none."""
    (tmp_path / "Packages").write_text(PACKAGES)
    fake("sudo", 'exec "$@"')
    fake("python3", f'exec "{sys.executable}" -B "$@"')
    fake(
        "chroot",
        f"""shift
case $1 in
    sh) printf '%s' '{OS_RELEASE}' ;;
    dpkg-query) printf '{DPKG}' ;;
    apt-get) printf '/lists/a\\ttrixie\\n/lists/b\\ttrixie-updates\\n' ;;
    /usr/lib/apt/apt-helper) cat '{tmp_path}/Packages' ;;
    *) exit 1 ;;
esac""",
    )
    root = tmp_path / "target root"
    for name in ("var/lib/dpkg/status", "boot/vmlinuz-6.12.1-amd64", "boot/config-6.12.1-amd64"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    folder = tmp_path / "identity"
    folder.mkdir()
    (folder / "build.json").write_text('{"name": "mine"}')
    (folder / "os-release").write_text('IMAGE_ID="mine"\nIMAGE_VERSION="b2"\n')
    return folder


def run_hook(root: Path, identity: Path) -> subprocess.CompletedProcess[str]:
    env = {"TARGET_ROOT": str(root), "DIB_IDENTITY_DIR": str(identity), "DIB_IMAGE_CACHE": "/nonexistent"}
    hook = ELEMENT / "cleanup.d/80-goldsmith-identity"
    return subprocess.run(
        ["bash", str(hook)], env={**os.environ, **env}, capture_output=True, text=True, check=False
    )


def list_packages(root: Path, *more: str) -> dict[str, Any]:
    argv = [sys.executable, "-B", str(ELEMENT / "identity-files/list-packages"), str(root), *more]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def test_packages_are_named_with_the_hash_of_the_signed_index(root: Path) -> None:
    found = list_packages(root)

    assert found["packages"] == [
        {"name": "bash", "version": "5.2-1", "architecture": "amd64", "sha256": "aaa", "suite": "trixie"},
        {"name": "local", "version": "1", "architecture": "all", "sha256": None, "suite": None,
         "source": "local-src 1"},
    ]  # fmt: skip
    assert (found["family"], found["distro"]) == ("deb", "debian-13")


def test_kernels_are_named(root: Path) -> None:
    assert list_packages(root)["kernels"] == ["6.12.1-amd64"]


def test_a_root_without_packages_has_none(tmp_path: Path) -> None:
    found = list_packages(tmp_path)

    assert (found["packages"], found["kernels"]) == ([], [])
    assert (found["family"], found["distro"]) == ("", "")


def test_rpms_have_the_hash_of_the_file_that_was_fetched(tmp_path: Path, fake: Callable[..., Path]) -> None:
    rows = (
        r"a\t(none):1-2\tnoarch\thead\ta-1-2.noarch\tabc-1-2.src.rpm\n"
        r"b\t1:2-3\tx86_64\thead2\tb-2-3.x86_64\t(none)\n"
        r"gpg-pubkey\t(none):1-2\t(none)\t\tgpg-pubkey-1-2\t(none)\n"
    )
    script = f"""shift
case $1 in
    rpm) printf '{rows}' ;;
    dnf) printf 'a-1-2.noarch\\tfedora\\n' ;;
    sh) printf "ID='fedora'\\nVERSION_ID=44\\n" ;;
esac"""
    fake("chroot", script)
    (tmp_path / "root/usr/bin").mkdir(parents=True)
    (tmp_path / "root/usr/bin/rpm").touch()
    (tmp_path / "cache/repo").mkdir(parents=True)
    (tmp_path / "cache/repo/a-1-2.noarch.rpm").write_bytes(b"package")

    found = list_packages(tmp_path / "root", str(tmp_path / "cache"))

    a, b = found["packages"]
    assert (a["name"], a["version"], a["suite"]) == ("a", "1-2", "fedora")
    assert (a["source"], "source" in b) == ("abc-1-2.src.rpm", False)
    assert (found["family"], found["distro"]) == ("rpm", "fedora-44")
    assert a["sha256"] == hashlib.sha256(b"package").hexdigest()
    assert (b["version"], b["sha256"], b["suite"], b["header_sha256"]) == ("1:2-3", None, None, "head2")


def test_the_image_says_what_it_is(root: Path, identity: Path) -> None:
    done = run_hook(root, identity)

    assert done.returncode == 0, done.stderr
    assert json.loads((root / "usr/lib/goldsmith/build.json").read_text()) == {"name": "mine"}
    inside = json.loads((root / "usr/lib/goldsmith/packages.json").read_text())
    assert inside == json.loads((identity / "packages.json").read_text())
    assert inside["packages"]


def test_an_identity_of_an_earlier_image_is_replaced(root: Path, identity: Path) -> None:
    (root / "usr/lib").mkdir(parents=True)
    (root / "usr/lib/os-release").write_text('ID=debian\nIMAGE_ID="base"\nIMAGE_VERSION="b1"\n')

    run_hook(root, identity)

    assert (root / "usr/lib/os-release").read_text() == 'ID=debian\nIMAGE_ID="mine"\nIMAGE_VERSION="b2"\n'


@pytest.mark.parametrize("name", ["build.json", "os-release"])
def test_without_an_identity_there_is_no_image(root: Path, identity: Path, name: str) -> None:
    (identity / name).unlink()

    done = run_hook(root, identity)

    assert done.returncode == 1
    assert f"must name a folder with {name}" in done.stderr
    assert not (root / "usr/lib/goldsmith").exists()


def test_a_root_whose_packages_cannot_be_listed_fails_the_build(
    root: Path, identity: Path, fake: Callable[..., Path]
) -> None:
    fake("chroot", "exit 1")

    assert run_hook(root, identity).returncode != 0
