# SPDX-License-Identifier: Apache-2.0
"""What is mounted, and in which order; a real disk is finished in tests/integration/test_main_job.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.errors import BuildError, CommandError
from goldsmith.layers import finish

PROGRAMS = ("mount", "umount", "e2fsck", "resize2fs", "chroot", "fstrim")


@pytest.fixture
def order(fake: Callable[..., Path], tmp_path: Path) -> Path:
    """A file with the calls of all programs, in their order."""
    calls = tmp_path / "order"
    for name in PROGRAMS:
        fake(name, f'echo "{name} $*" >> "{calls}"')
    fake("losetup", f'echo "losetup $*" >> "{calls}"; case "$1" in --find) echo /dev/loop7 ;; esac')
    return calls


def hook(tmp_path: Path, name: str) -> str:
    """A hook that notes what its variables are; its element gives one of them a default."""
    script = tmp_path / f"element-{name}/cleanup.d" / name
    script.parent.mkdir(parents=True)
    script.write_text(f'#!/bin/sh\necho "{name} ${{TARGET_ROOT}} ${{DIB_OWN}}" >> "{tmp_path}/order"\n')
    script.chmod(0o755)
    defaults = tmp_path / f"element-{name}/environment.d/50-x.bash"
    defaults.parent.mkdir()
    defaults.write_text('export DIB_OWN="${DIB_OWN:-by default}"\n')
    return str(script)


def request(tmp_path: Path, *, inside: str) -> str:
    target = tmp_path / "target"
    (target / "tmp").mkdir(parents=True)
    outside = [hook(tmp_path, name) for name in ("80-identity", "90-seal")]
    asked = {
        "disk": "raw", "start": 512, "size": 1024, "target": str(target), "hooks": str(tmp_path / "hooks"),
        "inside": inside, "env": {"DIB_EMBED_STRATEGY": "archive"}, "outside": outside,
    }  # fmt: skip
    path = tmp_path / "finish.json"
    path.write_text(json.dumps(asked))
    return str(path)


def test_hooks_run_in_order_in_a_disk_that_is_checked_grown_and_given_back(
    order: Path, tmp_path: Path
) -> None:
    finish.main(request(tmp_path, inside="post-install.d/60-x"))

    calls = order.read_text().replace(str(tmp_path / "target"), "T").replace(str(tmp_path), "").splitlines()
    assert calls == [
        "losetup --find --show --offset 512 --sizelimit 1024 raw",
        "e2fsck -fp /dev/loop7",
        "resize2fs /dev/loop7",
        "mount -t ext4 /dev/loop7 T",
        "losetup --detach /dev/loop7",
        "mount -t proc proc T/proc",
        "mount -t sysfs sysfs T/sys",
        "mount --rbind /dev T/dev",
        "mount --bind -o ro /hooks T/tmp/in_target.d",
        f"chroot T env -i PATH={finish._PATH} DIB_EMBED_STRATEGY=archive bash -ec {finish._WITH_DEFAULTS} "
        "bash /tmp/in_target.d/environment.d /tmp/in_target.d/post-install.d/60-x",
        "umount --recursive T/tmp/in_target.d",
        "umount --recursive T/dev",
        "umount --recursive T/sys",
        "umount --recursive T/proc",
        "80-identity T by default",
        "90-seal T by default",
        "fstrim T",
        "umount T",
    ]
    assert list((tmp_path / "target/tmp").iterdir()) == []


def test_without_containers_nothing_runs_inside(order: Path, tmp_path: Path) -> None:
    finish.main(request(tmp_path, inside=""))

    assert "chroot" not in order.read_text()
    assert "80-identity" in order.read_text()


def test_a_hook_that_fails_ends_it_and_everything_is_given_back(
    order: Path, fake: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "fakes/chroot").unlink()
    fake("chroot", "exit 3")

    with pytest.raises(BuildError, match=r"post-install\.d/60-x failed with exit status 3"):
        finish.main(request(tmp_path, inside="post-install.d/60-x"))

    calls = order.read_text().splitlines()
    assert [call.split()[0] for call in calls].count("umount") == 5
    assert "losetup --detach /dev/loop7" in calls


def test_a_file_system_that_cannot_be_repaired_is_not_mounted(
    order: Path, fake: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "fakes/e2fsck").unlink()
    fake("e2fsck", "exit 4")

    with pytest.raises(CommandError):
        finish.main(request(tmp_path, inside=""))

    assert "mount" not in order.read_text()
    assert order.read_text().splitlines()[-1] == "losetup --detach /dev/loop7"
