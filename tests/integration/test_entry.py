# SPDX-License-Identifier: Apache-2.0
"""Run scripts/inv on a bare Debian 12: no Python, no sudo, no package lists."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.checkout import copy_of_the_project, pip_settings

pytestmark = pytest.mark.integration

_CHECKOUT = "/srv/a b/checkout"
_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_CA_COPY = "/etc/ssl/of-the-host.crt"  # ca-certificates, once installed there, writes the other path

# Mounts are in a separate namespace, so that none is left behind.
_ENTER = """
mount -t proc proc "$0/proc"
mount --rbind /dev "$0/dev"
mount --bind "$1" "$0$2"
[ -z "$READ_ONLY" ] || mount -o remount,bind,ro "$0$2"
root=$0 && shift 2
exec chroot "$root" "$@"
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class FreshHost:
    """A root folder, into which a checkout is mounted at a path with a space."""

    root: Path
    checkout: Path

    def inv(
        self, *argv: str, user: str = "root", read_only: bool = False, **env: str
    ) -> subprocess.CompletedProcess[str]:
        home = "/root" if user == "root" else f"/home/{user}"
        as_user = () if user == "root" else ("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups")
        full_env = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": home,
            **pip_settings(),
            "PIP_CERT": _CA_COPY, **env,
        }  # fmt: skip
        argv = (
            "unshare", "--mount", "--propagation", "private", "sh", "-euc", _ENTER,
            os.fspath(self.root), os.fspath(self.checkout), _CHECKOUT,
            *as_user, "env", "-i", *(f"{name}={value}" for name, value in full_env.items()),
            f"{_CHECKOUT}/scripts/inv", *argv,
        )  # fmt: skip
        return subprocess.run(
            argv, env={**os.environ, "READ_ONLY": "yes" if read_only else ""}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    def run(self, *argv: str) -> None:
        subprocess.run(["chroot", self.root, *argv], check=True, capture_output=True, timeout=300)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreshHost]:
    folder = tmp_path_factory.mktemp("entry")
    host = FreshHost(root=folder / "root", checkout=folder / "checkout")
    copy_of_the_project(host.checkout)
    sources = [
        p
        for p in (Path("/etc/apt/sources.list"), Path("/etc/apt/sources.list.d/debian.sources"))
        if p.is_file()
    ]
    assert sources, "this test takes the mirrors of a Debian host"
    subprocess.run(
        [
            "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
            "mmdebstrap", "--quiet", "--variant=minbase", "--dpkgopt=force-unsafe-io",
            "bookworm", host.root, *sources,
        ],
        check=True, timeout=300,
    )  # fmt: skip
    _network_as_here(host.root)
    (host.root / _CHECKOUT[1:]).mkdir(parents=True)
    shutil.rmtree(host.root / "var/lib/apt/lists")
    yield host
    assert str(folder) not in Path("/proc/self/mountinfo").read_text()


def _network_as_here(root: Path) -> None:
    """Copy name resolution, certificates and client settings of this host, which are not under test."""
    for name in ("resolv.conf", "hosts", "pip.conf"):
        if (Path("/etc") / name).is_file():
            shutil.copy(Path("/etc") / name, root / "etc" / name)
    (root / _CA_COPY[1:]).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(_CA_BUNDLE, root / _CA_COPY[1:])
    for source in Path("/etc/apt/apt.conf.d").glob("*"):
        shutil.copy(source, root / "etc/apt/apt.conf.d" / source.name)


def test_without_a_yes_it_ends_with_3_and_the_command_to_type(fresh: FreshHost) -> None:
    done = fresh.inv("--list")

    assert done.returncode == 3
    assert done.stdout == ""
    assert "apt-get update && apt-get install --no-install-recommends python3 python3-venv" in done.stderr
    assert "scripts/inv --yes --list" in done.stderr
    assert not (fresh.root / "usr/bin/python3").exists()


def test_a_task_that_builds_names_its_packages_but_none_of_tests(fresh: FreshHost) -> None:
    done = fresh.inv("build-image", "debian-kubelet")

    assert done.returncode == 3
    assert "docker.io" in done.stderr
    assert "qemu-system-x86" in done.stderr
    assert "podman" not in done.stderr
    assert "scripts/inv --yes build-image debian-kubelet" in done.stderr


def test_in_ci_everything_is_installed_without_asking(fresh: FreshHost) -> None:
    done = fresh.inv("--list", CI="true")

    assert done.returncode == 0, done.stderr
    assert "build-image" in done.stdout
    assert "Setting up" not in done.stdout
    assert not list(fresh.checkout.glob(".venv*")), "diskimage-builder cannot live in a path with a space"
    assert list((fresh.root / "root/.cache/goldsmith/environments").iterdir())


def test_an_unchanged_environment_is_reused(fresh: FreshHost) -> None:
    done = fresh.inv("--list")

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_an_ordinary_user_gets_an_environment_in_the_home_folder_for_a_read_only_checkout(
    fresh: FreshHost,
) -> None:
    fresh.run("useradd", "--create-home", "builder")

    done = fresh.inv("--list", user="builder", read_only=True)

    assert done.returncode == 0, done.stderr
    assert "build-image" in done.stdout
    assert list((fresh.root / "home/builder/.cache/goldsmith/environments").iterdir())


def test_an_ordinary_user_installs_through_sudo(fresh: FreshHost) -> None:
    fresh.run("apt-get", "install", "--yes", "--no-install-recommends", "sudo")
    (fresh.root / "etc/sudoers.d/builder").write_text("builder ALL=(ALL) NOPASSWD: ALL\n")

    asked = fresh.inv("lint", "--help-is-not-asked", user="builder", read_only=True)
    done = fresh.inv("--yes", "lint", "--no-such-flag", user="builder", read_only=True)

    assert asked.returncode == 3
    assert "sudo apt-get install --no-install-recommends shellcheck shfmt" in asked.stderr
    assert done.returncode not in (0, 3), "Invoke refuses the flag"
    assert (fresh.root / "usr/bin/shfmt").exists()
