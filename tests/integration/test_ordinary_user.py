# SPDX-License-Identifier: Apache-2.0
"""A user who is not root and cannot write to the checkout builds with sudo, and has a cloud without."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from goldsmith.core import cache, paths
from goldsmith.devcloud import venv
from goldsmith.devcloud.instance import CloudRecord
from tests.support.builds import SPEC
from tests.support.checkout import copy_of_the_project, pip_settings
from tests.support.tiny_builds import TinyPlace

pytestmark = pytest.mark.integration

_USER = "nobody"
# In a private mount namespace, so that only this test has these rights.
_ENTER = f"""
mount -t tmpfs -o mode=0755 none /etc/sudoers.d
[ "$1" != sudo ] || echo '{_USER} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/builder
mount -t tmpfs none /mnt
for file in subuid subgid; do
    echo '{_USER}:300000:65536' > /mnt/$file
    touch /etc/$file
    mount --bind /mnt/$file /etc/$file
done
shift
exec setpriv --reuid={_USER} --regid=nogroup --init-groups "$@"
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """An ordinary user with a home, and a checkout that belongs to root."""

    place: TinyPlace

    @property
    def checkout(self) -> Path:
        return self.place.root / "checkout"

    def runs(self, *argv: str | Path, right: str = "none", env: dict[str, str] | None = None) -> str:
        """The output of a program, which must succeed; right: sudo or none."""
        ours = self.place.environment().items()
        environment = {
            **{name: value for name, value in ours if name.startswith("GOLDSMITH_")},
            **pip_settings(), "HOME": os.fspath(self.place.root / "home"), "CI": "true",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **(env or {}),
        }  # fmt: skip
        done = subprocess.run(
            [
                "unshare", "--mount", "--propagation", "private", "sh", "-euc", _ENTER, "enter", right,
                "env", "-i", *(f"{name}={value}" for name, value in environment.items()), *argv,
            ],
            cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def answer(self, *words: str | Path, right: str = "none") -> dict[str, Any]:
        """Of a task."""
        return dict(json.loads(self.runs(self.checkout / "scripts/inv", *words, "--json", right=right)))


@pytest.fixture(scope="module")
def user(make_place: Callable[[], TinyPlace]) -> User:
    user = User(place=make_place())
    (user.place.root / "home").mkdir()
    subprocess.run(["chown", "-R", _USER, user.place.root], check=True)
    copy_of_the_project(user.checkout)  # root's
    return user


def test_an_ordinary_user_with_sudo_gets_a_verified_image(user: User) -> None:
    answer = user.answer("build-image", user.checkout / SPEC, right="sudo")

    folder = Path(answer["folder"])
    assert answer["manifest"]["verification"]["result"] == "passed"
    assert {path.owner() for path in folder.iterdir()} == {_USER}
    assert user.place.remains() == []


@pytest.fixture
def cloud(user: User) -> Path:
    """What root's cloud was made from is the user's, too, in a copy; the programs of its environment."""
    ours = venv.ensure_environment(log_path=Path(os.devnull))
    theirs = user.place.cache / cache.ENVIRONMENTS / ours.name
    shutil.copytree(ours, theirs, symlinks=True)
    for program in (theirs / "bin").iterdir():
        if program.is_file() and not program.is_symlink():
            program.write_bytes(program.read_bytes().replace(os.fsencode(ours), os.fsencode(theirs)))
    seeds = paths.cache_root() / "cloud-seed"
    if seeds.exists():
        shutil.copytree(seeds, user.place.cache / "cloud-seed", symlinks=True)
    subprocess.run(["chown", "-R", _USER, user.place.cache], check=True)
    return theirs / "bin"


def test_an_ordinary_user_has_a_cloud_without_sudo(user: User, cloud: Path) -> None:
    folder = user.place.scratch / "cloud-theirs"
    up = user.answer("cloud-up", "--name", "theirs")
    try:
        assert_runs_a_server(user, cloud, up)

        process = CloudRecord.read(folder / "cloud.json").pid
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        inside = [pid for pid in pids if in_network_of(process, pid)]
        assert "qemu-system" in "".join(Path(f"/proc/{pid}/comm").read_text() for pid in inside)
        assert {Path(f"/proc/{pid}").owner() for pid in inside} == {_USER}
    finally:
        user.runs(user.checkout / "scripts/inv", "cloud-down", "--name", "theirs")
    assert not folder.exists()
    assert user.place.remains() == []


def assert_runs_a_server(user: User, programs: Path, up: dict[str, Any]) -> None:
    """By the plain client, on an empty disk."""
    env = {"OS_CLIENT_CONFIG_FILE": up["clouds_yaml"], "OS_CLOUD": up["name"]}
    disk = user.place.scratch / "disk"
    user.runs("truncate", "-s", "1M", disk)
    image = ("--disk-format", "raw", "--container-format", "bare", "--file", disk)
    user.runs(programs / "openstack", "image", "create", "empty", *image, env=env)
    disk.unlink()
    server = ("--image", "empty", "--flavor", "golden.small", "--network", "golden", "--wait")
    printed = user.runs(programs / "openstack", "server", "create", "one", *server, "-f", "json", env=env)
    assert json.loads(printed)["status"] == "ACTIVE"


def in_network_of(process: int, pid: int) -> bool:
    """Whether a process is in the network namespace of another one."""
    try:
        return Path(f"/proc/{pid}/ns/net").readlink() == Path(f"/proc/{process}/ns/net").readlink()
    except OSError:
        return False
