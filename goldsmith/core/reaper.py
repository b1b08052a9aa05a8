# SPDX-License-Identifier: Apache-2.0
"""Remove everything that a run left on the host: its processes, mounts and loop devices, nothing else.

Everything that a run starts carries the unique path of the run's folder: in its environment
(proc.RUN_MARKER), its command line, as its root or working folder, or through its parent process.
`python -m goldsmith.core.reaper FOLDER` does the same as root, behind sudo.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from goldsmith.core import privilege, proc
from goldsmith.errors import CommandError

_KILL_GRACE_S = 10.0


def reap(folder: Path) -> list[str]:
    """Kill, unmount and detach everything that belongs to folder; returns a line for each thing removed.

    An ordinary user needs sudo for mounts, loop devices and processes of root.
    """
    done = _end(folder)
    if os.geteuid() == 0:
        return done + _release(folder)
    if leftovers(folder):
        argv = privilege.as_root([sys.executable, "-P", "-m", "goldsmith.core.reaper", os.fspath(folder)])
        done += proc.capture(argv, cwd=Path(__file__).parent.parent.parent).splitlines()
    return done


def leftovers(folder: Path) -> list[str]:
    """Everything of folder that is still running, mounted or attached, a line each; changes nothing."""
    return [
        *(f"process {pid} ({_cmdline(pid)[:80]})" for pid in processes(folder)),
        *(f"mount {mount}" for mount in mounts(folder)),
        *(f"loop device {device}" for device in loop_devices(folder)),
    ]


def processes(folder: Path) -> list[int]:
    """The processes of a run and their descendants; never ourselves or our ancestors."""
    family = parents()
    mine = {pid for pid in family if _belongs(pid, folder)}
    spared = set(_ancestors(os.getpid(), family))
    grown = True
    while grown:
        grown = False
        for pid, parent in family.items():
            if parent in mine and parent not in spared and pid not in mine:
                mine.add(pid)
                grown = True
    return sorted(mine - spared)


def parents() -> dict[int, int]:
    """Every process and its parent's ID, 0 if it has none (proc_pid_stat(5))."""
    return {pid: _parent(pid) for pid in _pids()}


def mounts(folder: Path) -> list[Path]:
    """Mount points at or below folder, the deepest and latest first (proc_pid_mountinfo(5))."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        point = Path(_unescape(line.split(" ")[4]))
        if point == folder or folder in point.parents:
            found.append(point)
    return found[::-1]


def loop_devices(folder: Path) -> list[Path]:
    """Loop devices whose backing file is below folder."""
    found = []
    for backing in sorted(Path("/sys/block").glob("loop*/loop/backing_file")):
        with contextlib.suppress(OSError):
            if folder in Path(backing.read_text().strip()).parents:
                found.append(Path("/dev") / backing.parent.parent.name)
    return found


def _end(folder: Path) -> list[str]:
    """Kill the processes that we may kill."""
    left = processes(folder)
    names = {pid: _cmdline(pid)[:120] for pid in left}
    ours = [pid for pid in left if _kill(pid)]
    done = [f"ended process {pid}: {names[pid]}" for pid in ours]
    deadline = time.monotonic() + _KILL_GRACE_S
    while ours and time.monotonic() < deadline:
        time.sleep(0.03)
        ours = [pid for pid in processes(folder) if _kill(pid)]
    return done


def _kill(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def _release(folder: Path) -> list[str]:
    # A disk image may lie on a file system that is itself mounted in this folder. While its loop device is
    # attached, that file system cannot be unmounted; after a lazy unmount nothing links the device to us.
    # So unmount what is not busy, detach the devices, repeat; unmount lazily only at the end.
    done = [*_unmount(folder), *_detach(folder), *_unmount(folder), *_detach(folder)]
    return done + _unmount(folder, "--lazy")


def _unmount(folder: Path, *how: str) -> list[str]:
    return [f"unmounted {mount}" for mount in mounts(folder) if _attempt("umount", *how, mount)]


def _detach(folder: Path) -> list[str]:
    done = []
    for device in loop_devices(folder):
        _attempt("partx", "--delete", device)
        _attempt("kpartx", "-d", device)
        if _attempt("losetup", "--detach", device):
            done.append(f"detached {device}")
    return done


def _attempt(*argv: str | Path) -> bool:
    if proc.which(str(argv[0])) is None:
        return False
    try:
        proc.capture(argv)
    except CommandError:
        return False
    return True


def _belongs(pid: int, folder: Path) -> bool:
    path = os.fsencode(folder)
    for link in ("root", "cwd"):
        with contextlib.suppress(OSError):
            if f"{os.readlink(f'/proc/{pid}/{link}')}/".startswith(f"{folder}/"):  # noqa: PTH115 - for each process
                return True
    for file, needle in (
        ("environ", proc.RUN_MARKER.encode() + b"=" + path + b"\0"),
        ("cmdline", path),
    ):
        with contextlib.suppress(OSError):
            if _contains_word(_read(pid, file), needle):
                return True
    return False


def _contains_word(data: bytes, needle: bytes) -> bool:
    """needle occurs in data, and not as the beginning of a longer name."""
    if needle not in data:
        return False
    after = b"" if needle.endswith(b"\0") else rb"(?![\w.-])"
    return re.search(re.escape(needle) + after, data) is not None


def _read(pid: int, name: str) -> bytes:
    """A file of /proc/PID; there are hundreds of processes, so without a Path for each."""
    with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:  # noqa: PTH123
        return file.read()


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _parent(pid: int) -> int:
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(_read(pid, "stat").rpartition(b")")[2].split()[1])
    return 0


def _ancestors(pid: int, family: dict[int, int]) -> Iterator[int]:
    while pid > 0:
        yield pid
        pid = family.get(pid, 0)


def _cmdline(pid: int) -> str:
    with contextlib.suppress(OSError):
        return _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def _unescape(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), field)


if __name__ == "__main__":
    sys.stdout.write("".join(f"{line}\n" for line in reap(Path(sys.argv[1]))))
