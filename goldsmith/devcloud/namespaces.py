# SPDX-License-Identifier: Apache-2.0
"""A cloud's namespaces (network, mounts, processes, host name): made, entered, and ended as one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from goldsmith.core import proc, reaper, wait
from goldsmith.core.proc import Arg
from goldsmith.devcloud import config, port_forward
from goldsmith.devcloud.instance import ADDRESS, METADATA, PORTS, Place
from goldsmith.errors import CommandError, HostError

_START_S, _END_S = 30, 20
# An ordinary user, who is nobody special outside. With the range of /etc/subuid: libvirt sets its groups.
_AS_ROOT_INSIDE = ("--user", "--map-root-user", "--map-auto")


class Rooms:
    """The namespaces of a running cloud, by its process 1 as this host sees it."""

    def __init__(self, here: Place, pid: int, venv: Path) -> None:
        self.here, self.pid, self.venv = here, pid, venv

    def run(self, argv: Sequence[Arg], *, log: str, env: Mapping[str, str] | None = None) -> None:
        """A program inside, to its end, its output in a log of this name."""
        proc.run(
            self._inside(argv), log_path=self.here.log_of(log), env=self._environment(env), timeout_s=300
        )

    def ask(self, argv: Sequence[Arg], *, stdin: Mapping[str, Any] | None = None) -> str:
        """What a program inside prints; stdin is given to it as JSON."""
        data = None if stdin is None else json.dumps(stdin).encode()
        return proc.capture(self._inside(argv), env=self._environment(None), stdin=data, timeout_s=300)

    def start(self, name: str, argv: Sequence[Arg]) -> proc.Process:
        """A program inside that stays, its output in the log of this name."""
        return proc.detached(self._inside(argv), log_path=self.here.log_of(name), env=self._environment(None))

    def signal(self, name: str, number: signal.Signals) -> bool:
        """Send a signal to a service; False where it does not run."""
        try:
            pid = (self.here.state / "pids" / name).read_text()
            proc.capture(self._inside(["kill", f"-{number.value}", pid]))
        except (OSError, CommandError):
            return False
        return True

    def is_running(self, name: str) -> bool:
        """The process that a service wrote down is there, and is that service."""
        with contextlib.suppress(OSError, CommandError):
            pid = (self.here.state / "pids" / name).read_text()
            words = proc.capture(self._inside(["cat", f"/proc/{pid}/cmdline"])).split("\0")
            return name in words
        return False

    def open_door(self) -> dict[str, int]:
        """Forward the services' ports to free ones of this host's loopback; returns those."""
        doors = port_forward.listening(PORTS)
        pairs = [f"{PORTS[kind]}:{door.fileno()}" for kind, door in doors.items()]
        # its processes are ended with the cloud's, but it begins in the network of the host
        argv = (
            *_enter(self.pid), "--pid", sys.executable, "-P", "-m", "goldsmith.devcloud.port_forward",
            f"/proc/{self.pid}/ns/net", ADDRESS, str(self.here.tls) if self.here.ca else "", *pairs,
        )  # fmt: skip
        proc.detached(
            argv, log_path=self.here.log_of("door"), env=self._environment(None),
            cwd=config.folder().parent, keep=[door.fileno() for door in doors.values()],
        )  # fmt: skip
        ports = {kind: int(door.getsockname()[1]) for kind, door in doors.items()}
        for door in doors.values():
            door.close()
        return ports

    def _inside(self, argv: Sequence[Arg]) -> tuple[Arg, ...]:
        return (*_enter(self.pid), "--net", "--mount", "--uts", "--pid", "--wdns=/run/cloud", *argv)

    def _environment(self, more: Mapping[str, str] | None) -> dict[str, str]:
        return environment(self.here, self.venv, more)


def environment(here: Place, venv: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Of the processes of a cloud: their marker lets them be found when their process 1 cannot end them."""
    path = proc.environment()["PATH"]
    return {
        "PATH": f"{venv}/bin:{path}", "HOME": "/run/cloud", "LANG": "C.UTF-8",
        "PYTHONPATH": f"{config.folder()}:{config.folder() / 'onehost'}",
        "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore",
        proc.RUN_MARKER: os.fspath(here.folder), **(more or {}),
    }  # fmt: skip


def require_possible() -> None:
    """Raise HostError where neither root nor an ordinary user of this host gets namespaces."""
    if os.geteuid() == 0:
        return
    try:
        proc.capture(("unshare", *_AS_ROOT_INSIDE, "--net", "--mount", "--pid", "--fork", "true"))
    except CommandError as e:
        raise HostError(
            f"this host gives an ordinary user no namespaces, which a cloud lives in: {e}",
            hint="run it as root, or give the user a range (usermod --add-subuids and --add-subgids) and "
            "let user namespaces in (sysctl: kernel.unprivileged_userns_clone, "
            "user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns)",
        ) from e


def build(here: Place, venv: Path, *, lock: int) -> Rooms:
    """Make the namespaces; their process 1 inherits lock. Raises HostError."""
    ready = here.state / "ready"
    ready.unlink(missing_ok=True)
    users = () if os.geteuid() == 0 else _AS_ROOT_INSIDE
    process = proc.detached(
        [
            "unshare", *users, "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc",
            "bash", config.folder() / "init.sh", here.state, f"{ADDRESS}/{config.PREFIX}",
            METADATA, config.BRIDGE, config.HOST,
        ],
        log_path=here.log_of("init"), env=environment(here, venv), keep=[lock],
    )  # fmt: skip
    try:
        wait.wait_until(
            ready.exists, timeout_s=_START_S, alive=lambda: process.poll() is None, interval_s=0.05
        )
    except (wait.Died, wait.Deadline):
        said = here.log_of("init").read_text(errors="replace").splitlines()[-3:]
        reaper.reap(here.folder)
        raise HostError(
            f"the cloud's namespaces cannot be made: {' / '.join(said)}", hint=f"see {here.log_of('init')}"
        ) from None
    child = next(pid for pid, parent in reaper.parents().items() if parent == process.pid)
    return Rooms(here, child, venv)


def _enter(pid: int) -> tuple[str, ...]:
    users = () if os.geteuid() == 0 else ("--user", "--preserve-credentials")
    return ("nsenter", "--target", str(pid), *users)


def end(here: Place, pid: int | None) -> list[str]:
    """End a cloud's process 1, and with it all others; a line for each thing that outlived it."""
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        with contextlib.suppress(wait.Deadline):
            wait.wait_until(lambda: not here.is_live(), timeout_s=_END_S, interval_s=0.1)
    return reaper.reap(here.folder)
