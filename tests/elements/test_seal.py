# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.core.paths import project_root

HOOK = project_root() / "elements/goldsmith-seal/cleanup.d/90-goldsmith-seal"
CHROOT = project_root() / "tests/fakes/chroot"

# What a build leaves in a root, and must not be in an image.
LEFT = (
    "etc/ssh/ssh_host_ed25519_key", "etc/ssh/ssh_host_ed25519_key.pub", "var/lib/dbus/machine-id",
    "var/lib/systemd/random-seed", "root/.bash_history", "var/lib/cloud/instance/user-data.txt",
    "var/lib/apt/lists/mirror_Packages", "var/cache/apt/pkgcache.bin", "var/cache/apt/archives/a.deb",
    "var/cache/dnf/a", "var/cache/libdnf5/a", "var/lib/dpkg/status-old", "var/log/apt/history.log",
    "var/log/dpkg.log", "var/log/journal/0123/system.journal", "etc/apt/apt.conf.d/02proxy",
    "etc/apt/apt.conf.d/99goldsmith-locked-index",
    "etc/dib-manifests/dib-manifest-dpkg", "etc/dib_environment", "etc/dib_arguments",
    "etc/apt/sources.list", "etc/apt/sources.list.d/build.sources",
)  # fmt: skip
KEPT = ("etc/ssh/sshd_config", "var/lib/dpkg/status", "etc/apt/apt.conf.d/70debconf", "root/.bashrc")
CHANGED = ("etc/machine-id", "etc/resolv.conf", "etc/hostname", "etc/cloud/cloud.cfg.d/90.cfg")


@pytest.fixture
def root(tmp_path: Path, fake: Callable[..., Path]) -> Path:
    fake("sudo", 'exec "$@"')
    fake("chroot", f'exec sh "{CHROOT}" "$@"')
    root = tmp_path / "target root"
    (root / "usr").mkdir(parents=True)
    for name in (
        *LEFT,
        *KEPT,
        "etc/machine-id",
        "etc/resolv.conf",
        "etc/hostname",
        "etc/cloud/cloud.cfg.d/x",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("build")
    return root


def seal(root: Path, **env: str) -> subprocess.CompletedProcess[str]:
    plain = {
        "TARGET_ROOT": str(root),
        "DISTRO_NAME": "debian",
        "DIB_RELEASE": "trixie",
        "DIB_SEAL_MIRROR": "",
    }
    return subprocess.run(
        ["bash", str(HOOK)], env={**os.environ, **plain, **env}, capture_output=True, text=True, check=False
    )


def test_nothing_of_the_build_or_of_an_instance_remains(root: Path) -> None:
    done = seal(root)

    assert done.returncode == 0, done.stderr
    assert [name for name in LEFT if (root / name).exists()] == []


def test_what_the_system_needs_remains(root: Path) -> None:
    seal(root)

    assert [name for name in KEPT if not (root / name).exists()] == []


def test_the_machine_id_is_there_and_empty_so_that_first_boot_makes_one(root: Path) -> None:
    seal(root)

    assert (root / "etc/machine-id").read_text() == ""
    assert (root / "etc/hostname").read_text() == "localhost\n"


def test_names_are_resolved_by_the_resolver_of_the_guest(root: Path) -> None:
    seal(root)

    assert str((root / "etc/resolv.conf").readlink()) == "../run/systemd/resolve/stub-resolv.conf"


def test_a_first_boot_has_nothing_to_update_after_the_packages_scripts(root: Path) -> None:
    """What systemd compares (systemd.unit(5), ConditionNeedsUpdate=)."""
    os.utime(root / "usr", (1_700_000_000, 1_700_000_000))

    seal(root)

    times = {name: (root / name).stat().st_mtime for name in ("etc/.updated", "var/.updated")}
    assert set(times.values()) == {1_700_000_000}


def test_without_a_mirror_cloud_init_writes_the_sources(root: Path) -> None:
    seal(root)

    assert list((root / "etc/apt/sources.list.d").iterdir()) == []
    assert "preserve_sources_list: false" in (root / "etc/cloud/cloud.cfg.d/92-goldsmith-apt.cfg").read_text()


def test_the_mirror_of_the_spec_is_the_only_one(root: Path) -> None:
    seal(root, DIB_SEAL_MIRROR="http://mirror.test/debian")

    (sources,) = (root / "etc/apt/sources.list.d").iterdir()
    assert sources.read_text().splitlines() == [
        "deb http://mirror.test/debian trixie main",
        "deb http://mirror.test/debian trixie-updates main",
    ]
    assert not (root / "etc/cloud/cloud.cfg.d/92-goldsmith-apt.cfg").exists()


def test_other_distributions_keep_their_sources(root: Path) -> None:
    done = seal(root, DISTRO_NAME="fedora")

    assert done.returncode == 0, done.stderr
    assert (root / "etc/apt/sources.list").exists()


def test_a_command_that_fails_fails_the_build(root: Path, fake: Callable[..., Path]) -> None:
    fake("chroot", "exit 1")

    assert seal(root).returncode != 0


def test_without_a_root_nothing_is_touched(root: Path, tmp_path: Path) -> None:
    assert seal(root, TARGET_ROOT="").returncode != 0
    assert (tmp_path / "chroot.calls").read_text() == ""
