# SPDX-License-Identifier: Apache-2.0
"""Namespaces in which a mistake can harm nothing: all of this host is read-only, its processes are away.

/tmp, /var/tmp and /dev are empty file systems in memory; /dev has a few devices and a stand-in for the rest.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from goldsmith.core import paths

STAND_IN = Path("/dev/stand-in")  # exists in the room alone

_ENTER = """
set -eu
room=$1 checkout=$2
shift 2
mount --bind / "$room"
mount --options remount,bind,ro "$room"
for each in tmp var/tmp dev; do mount --types tmpfs --options mode=1777 tmpfs "$room/$each"; done
mount --types proc proc "$room/proc"
for each in null:3 zero:5 urandom:9; do mknod --mode=666 "$room/dev/${each%:*}" c 1 "${each#*:}"; done
echo stand-in > "$room/dev/stand-in"
for each in "$checkout" "$(dirname -- "$(dirname -- "$1")")"; do
    if [ ! -e "$room/$each" ]; then  # it lies where the room has an empty file system
        mkdir --parents -- "$room/$each"
        mount --bind -- "$each" "$room/$each"
        mount --options remount,bind,ro "$room/$each"
    fi
done
exec chroot "$room" sh -c 'cd -- "$1" && shift && exec "$@"' sh "$checkout" "$@"
"""


def run(room: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run our Python with these words in a room whose mount point is the folder room."""
    return subprocess.run(
        [
            "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
            "sh", "-c", _ENTER, "sh",
            str(room), str(paths.project_root()), sys.executable, "-B", *words,
        ],
        capture_output=True, text=True, timeout=600, check=False, env=_environment(),
    )  # fmt: skip


def require() -> None:
    """Raise AssertionError outside of a room: the real folders are in reach."""
    is_room = STAND_IN.exists() and os.statvfs("/usr").f_flag & os.ST_RDONLY
    assert is_room, "these tests run in a room alone: scripts/inv test, or tests.support.safe_room"


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("GOLDSMITH_")}
