# SPDX-License-Identifier: Apache-2.0
"""As root, in namespaces of its own: mount a copy of a root, run late hooks in it and on it, unmount it.

`python -m goldsmith.layers.finish REQUEST`, a JSON file of assembly.py. What is mounted here ends with us.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from goldsmith.core import proc
from goldsmith.errors import BuildError

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_HOOKS = "tmp/in_target.d"  # as diskimage-builder calls it
_WITH_DEFAULTS = 'for file in "$1"/*; do . "${file}"; done; exec "$2"'  # as diskimage-builder does
_TIMEOUT_S = 3600


def main(request: str) -> None:
    """Do what the request says. Raises BuildError for a hook that fails, and CommandError."""
    asked: dict[str, Any] = json.loads(Path(request).read_text())
    target = Path(asked["target"])
    with _mounted_disk(asked, target):
        if asked["inside"]:
            with _mounted_kernel(target), _mounted_hooks(Path(asked["hooks"]), target):
                values = {"PATH": _PATH, **asked["env"]}
                inside = ["env", "-i", *(f"{name}={value}" for name, value in values.items())]
                _run(
                    ["chroot", target, *inside, *_hook(Path("/", _HOOKS, asked["inside"]))], dict(os.environ)
                )
        for path in asked["outside"]:
            _run(_hook(Path(path)), {**os.environ, **asked["env"], "TARGET_ROOT": str(target)})
        _run(["fstrim", target], dict(os.environ))


@contextlib.contextmanager
def _mounted_disk(asked: dict[str, Any], target: Path) -> Iterator[None]:
    where = ("--offset", str(asked["start"]), "--sizelimit", str(asked["size"]))
    device = proc.capture(["losetup", "--find", "--show", *where, asked["disk"]]).strip()
    try:
        # 1: it corrected something, such as the time of the last check
        proc.capture(["sh", "-c", 'e2fsck -fp "$1" || [ $? = 1 ]', "-", device], timeout_s=_TIMEOUT_S)
        proc.capture(["resize2fs", device], timeout_s=_TIMEOUT_S)  # to the size of the partition
        proc.capture(["mount", "-t", "ext4", device, target])
    finally:
        proc.capture(["losetup", "--detach", device])  # which a mounted one does when it is unmounted
    try:
        yield
    finally:
        proc.capture(["umount", target], timeout_s=_TIMEOUT_S)  # it writes what is not on the disk yet


@contextlib.contextmanager
def _mounted_kernel(target: Path) -> Iterator[None]:
    with contextlib.ExitStack() as mounts:
        mounts.enter_context(_mounted(["-t", "proc", "proc"], target / "proc"))
        mounts.enter_context(_mounted(["-t", "sysfs", "sysfs"], target / "sys"))
        mounts.enter_context(_mounted(["--rbind", "/dev"], target / "dev"))
        yield


@contextlib.contextmanager
def _mounted_hooks(hooks: Path, target: Path) -> Iterator[None]:
    folder = target / _HOOKS
    folder.mkdir()
    with _mounted(["--bind", "-o", "ro", hooks], folder):
        yield
    folder.rmdir()


@contextlib.contextmanager
def _mounted(words: Sequence[proc.Arg], place: Path) -> Iterator[None]:
    proc.capture(["mount", *words, place])
    try:
        yield
    finally:
        proc.capture(["umount", "--recursive", place])


def _hook(path: Path) -> list[proc.Arg]:
    """The call of a hook, ELEMENT/PHASE.d/NAME, with the defaults that its element gives to variables."""
    return ["bash", "-ec", _WITH_DEFAULTS, "bash", path.parent.parent / "environment.d", path]


def _run(argv: list[proc.Arg], env: dict[str, str]) -> None:
    """Run a hook; its output is ours, so it goes to the build's log."""
    status = proc.interactive(argv, env=env)
    if status:
        raise BuildError(f"{argv[-1]} failed with exit status {status}", hint="see what it said before")


if __name__ == "__main__":
    main(sys.argv[1])
