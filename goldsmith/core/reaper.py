# SPDX-License-Identifier: Apache-2.0
"""Remove everything that a run left on the host: its processes, mounts and loop devices, nothing else.

A process is the run's if its environment has the unique path of the run's folder (proc.RUN_MARKER), if it
lives in a process namespace whose first process has it, or if its parent is such a process. A command line
or a working folder proves nothing: somebody may look at our log. Mounts and loop devices are the run's if
they are below its folder. `python -m goldsmith.core.reaper FOLDER` does the same as root, behind sudo.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import re
import signal
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from goldsmith.core import privilege, proc, wait
from goldsmith.errors import CommandError

_LOOP_GET_STATUS64 = 0x4C05
_LOOP_INFO64 = struct.Struct("=56x64s112x")  # lo_file_name in struct loop_info64
_KILL_GRACE_S, _DETACH_S = 10.0, 5.0


def reap(folder: Path) -> list[str]:
    """Kill, unmount and detach everything that belongs to folder; returns a line for each thing removed.

    An ordinary user needs sudo for mounts, loop devices and processes of root.
    """
    done = _end(folder)
    if os.geteuid() == 0:
        return done + _release(folder)
    if leftovers(folder) or (_may_have_more(folder) and privilege.can_be_root()):
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
    folder, family = folder.resolve(), parents()
    marked = {pid for pid in family if _is_marked(pid, folder)}
    own = {_namespace(pid) for pid in marked if _is_first(pid)} - {"", _namespace(os.getpid())}
    mine = marked | ({pid for pid in family if _namespace(pid) in own} if own else set())
    spared = set(_ancestors(os.getpid(), family))
    grown = True
    while grown:
        grown = False
        for pid, parent in family.items():
            if parent in mine and parent not in spared and pid not in mine:
                mine.add(pid)
                grown = True
    return sorted(mine - spared)


def busy(folder: Path) -> list[str]:
    """Processes that are not the run's and have something below folder open, a line each."""
    folder = folder.resolve()
    ours = {*processes(folder), os.getpid()}
    others = (pid for pid in _pids() if pid not in ours and _uses(pid, folder))
    return [
        f"busy: process {pid} ({_cmdline(pid)[:80]}) uses {folder} and is not ours; it was left alone"
        for pid in sorted(others)
    ]


def parents() -> dict[int, int]:
    """Every process and its parent's ID, 0 if it has none (proc_pid_stat(5))."""
    return {pid: _parent(pid) for pid in _pids()}


def mounts(folder: Path) -> list[Path]:
    """Mount points at or below folder, the deepest and latest first (proc_pid_mountinfo(5))."""
    folder, found = folder.resolve(), []  # the kernel knows no links
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        point = Path(_unescape(line.split(" ")[4]))
        if point == folder or folder in point.parents:
            found.append(point)
    return found[::-1]


def loop_devices(folder: Path) -> list[Path]:
    """Loop devices whose backing file is below folder, or was when they were set up.

    Of a file system that was mounted in a namespace alone the kernel forgets where it was.
    """
    folder, found = folder.resolve(), []
    for backing in sorted(Path("/sys/block").glob("loop*/loop/backing_file")):
        device = Path("/dev") / backing.parent.parent.name
        with contextlib.suppress(OSError):
            names = (backing.read_text().strip(), _name_at_setup(device))
            if any(folder in Path(name).parents for name in names):
                found.append(device)
    return found


def _name_at_setup(device: Path) -> str:
    """The first 63 bytes of the path that a loop device was set up with; only root can ask (loop(4))."""
    with contextlib.suppress(OSError), device.open("rb") as opened:
        status = fcntl.ioctl(opened, _LOOP_GET_STATUS64, bytes(_LOOP_INFO64.size))
        return os.fsdecode(_LOOP_INFO64.unpack(status)[0].partition(b"\0")[0])
    return ""


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
    done += _unmount(folder, "--lazy")
    with contextlib.suppress(wait.Deadline):
        wait.wait_until(lambda: not loop_devices(folder), timeout_s=_DETACH_S)
    return done


def _unmount(folder: Path, *how: str) -> list[str]:
    return [f"unmounted {mount}" for mount in mounts(folder) if _attempt("umount", *how, mount)]


def _detach(folder: Path) -> list[str]:
    done = []
    for device in loop_devices(folder):
        with contextlib.suppress(wait.Deadline):
            wait.wait_until(functools.partial(_drops_partitions, device), timeout_s=_DETACH_S)
        _attempt("kpartx", "-d", device)
        if _attempt("losetup", "--detach", device):
            done.append(f"detached {device}")
    return done


def _drops_partitions(device: Path) -> bool:
    """Delete the nodes of a device's partitions; false while one of them is in use.

    The mounts of a namespace go some moments after its last process, and a device that is detached before
    keeps its partitions, which are in the way of its next user.
    """
    nodes = Path("/sys/block").glob(f"{device.name}/{device.name}p*")
    return not any(nodes) or _attempt("partx", "--delete", device)


def _attempt(*argv: str | Path) -> bool:
    if proc.which(str(argv[0])) is None:
        return False
    try:
        proc.capture(argv)
    except CommandError:
        return False
    return True


def _is_marked(pid: int, folder: Path) -> bool:
    """Whether proc put the folder into the process's environment."""
    needle = os.fsencode(f"{proc.RUN_MARKER}={folder}")
    with contextlib.suppress(OSError):
        data = _read(pid, "environ")
        return needle in data and needle in data.split(b"\0")
    return False


def _is_first(pid: int) -> bool:
    """It is process 1 of a process namespace other than the host's (NSpid in proc_pid_status(5))."""
    with contextlib.suppress(OSError):
        found = re.search(rb"^NSpid:((?:\s+\d+)+)$", _read(pid, "status"), re.MULTILINE)
        numbers = found[1].split() if found else []
        return len(numbers) > 1 and numbers[-1] == b"1"
    return False


def _namespace(pid: int) -> str:
    """The process namespace; nothing where it has ended, or is another user's (namespaces(7))."""
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/pid")  # noqa: PTH115 - for each process
    return ""


def _may_have_more(folder: Path) -> bool:
    """Only root's reaper can tell: of a process whose environment we may not read and which names the folder,
    and of a loop device whose file was in a file system that is gone.
    """
    lost = (Path(each.read_text().strip()) for each in Path("/sys/block").glob("loop*/loop/backing_file"))
    return any(_is_gone(path) for path in lost) or any(
        not os.access(f"/proc/{pid}/environ", os.R_OK) and os.fsencode(folder) in _bytes(pid, "cmdline")
        for pid in _pids()
    )


def _is_gone(path: Path) -> bool:
    """Nothing is there; a file in somebody else's private folder is not gone."""
    try:
        return not path.exists()
    except PermissionError:
        return False


def _uses(pid: int, folder: Path) -> bool:
    """Its root, working folder or one of its files is below folder."""
    links = [f"/proc/{pid}/root", f"/proc/{pid}/cwd"]
    with contextlib.suppress(OSError):
        links += [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]
    for link in links:
        with contextlib.suppress(OSError):
            if f"{os.readlink(link)}/".startswith(f"{folder}/"):  # noqa: PTH115 - for each file
                return True
    return False


def _bytes(pid: int, name: str) -> bytes:
    with contextlib.suppress(OSError):
        return _read(pid, name)
    return b""


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
    return _bytes(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace").strip()


def _unescape(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), field)


if __name__ == "__main__":
    sys.stdout.write("".join(f"{line}\n" for line in reap(Path(sys.argv[1]))))
