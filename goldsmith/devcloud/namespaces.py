# SPDX-License-Identifier: Apache-2.0
"""A cloud's namespaces (network, mounts, processes, host name): create, enter and end them."""

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
from goldsmith.devcloud.instance import ADDRESS, METADATA, PORTS, Instance
from goldsmith.errors import CommandError, HostError

_START_S, _END_S = 30, 20
# For an ordinary user: root inside only, with the range of /etc/subuid, because libvirt sets its groups.
_AS_ROOT_INSIDE = ("--user", "--map-root-user", "--map-auto")


class Namespaces:
    """The namespaces of a running cloud; pid: of their process 1, as this host sees it."""

    def __init__(self, cloud: Instance, pid: int, venv: Path) -> None:
        self.cloud, self.pid, self.venv = cloud, pid, venv

    def run(self, argv: Sequence[Arg], *, log: str, env: Mapping[str, str] | None = None) -> None:
        """Run a program inside to its end, with its output in the log of this name."""
        proc.run(
            self._inside(argv), log_path=self.cloud.log_of(log), env=self._environment(env), timeout_s=300
        )

    def ask(self, argv: Sequence[Arg], *, stdin: Mapping[str, Any] | None = None) -> str:
        """The output of a program inside; it gets stdin as JSON."""
        data = None if stdin is None else json.dumps(stdin).encode()
        return proc.capture(self._inside(argv), env=self._environment(None), stdin=data, timeout_s=300)

    def start(self, name: str, argv: Sequence[Arg]) -> proc.Process:
        """Start a program inside that keeps running, with its output in the log of this name."""
        return proc.detached(
            self._inside(argv), log_path=self.cloud.log_of(name), env=self._environment(None)
        )

    def signal(self, name: str, number: signal.Signals) -> bool:
        """Send a signal to a service; False if it does not run."""
        try:
            pid = (self.cloud.state / "pids" / name).read_text()
            proc.capture(self._inside(["kill", f"-{number.value}", pid]))
        except (OSError, CommandError):
            return False
        return True

    def is_running(self, name: str) -> bool:
        """The process whose ID a service wrote down exists and is that service."""
        with contextlib.suppress(OSError, CommandError):
            pid = (self.cloud.state / "pids" / name).read_text()
            words = proc.capture(self._inside(["cat", f"/proc/{pid}/cmdline"])).split("\0")
            return name in words
        return False

    def forward_ports(self) -> dict[str, int]:
        """Forward free ports of this host's loopback to the services; service type -> port."""
        sockets = port_forward.listening(PORTS)
        pairs = [f"{PORTS[kind]}:{each.fileno()}" for kind, each in sockets.items()]
        # in the cloud's process namespace, to end with it, but in the network of the host
        argv = (
            *_enter(self.pid), "--pid", sys.executable, "-P", "-m", "goldsmith.devcloud.port_forward",
            f"/proc/{self.pid}/ns/net", ADDRESS, str(self.cloud.tls) if self.cloud.ca else "", *pairs,
        )  # fmt: skip
        proc.detached(
            argv, log_path=self.cloud.log_of("port-forward"), env=self._environment(None),
            cwd=config.folder().parent, keep=[each.fileno() for each in sockets.values()],
        )  # fmt: skip
        ports = {kind: int(each.getsockname()[1]) for kind, each in sockets.items()}
        for each in sockets.values():
            each.close()
        return ports

    def _inside(self, argv: Sequence[Arg]) -> tuple[Arg, ...]:
        return (*_enter(self.pid), "--net", "--mount", "--uts", "--pid", "--wdns=/run/cloud", *argv)

    def _environment(self, more: Mapping[str, str] | None) -> dict[str, str]:
        return environment(self.cloud, self.venv, more)


def environment(cloud: Instance, venv: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a cloud's processes; the reaper finds them by the marker in it."""
    path = proc.environment()["PATH"]
    return {
        "PATH": f"{venv}/bin:{path}", "HOME": "/run/cloud", "LANG": "C.UTF-8",
        "PYTHONPATH": f"{config.folder()}:{config.folder() / 'onehost'}",
        "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore",
        proc.RUN_MARKER: os.fspath(cloud.folder), **(more or {}),
    }  # fmt: skip


def require_possible() -> None:
    """Raise HostError if this user cannot create namespaces on this host."""
    if os.geteuid() == 0:
        return
    try:
        proc.capture(("unshare", *_AS_ROOT_INSIDE, "--net", "--mount", "--pid", "--fork", "true"))
    except CommandError as e:
        raise HostError(
            f"this host gives an ordinary user no namespaces, which a cloud needs: {e}",
            hint="run it as root, or give the user a range (usermod --add-subuids and --add-subgids) and "
            "allow user namespaces (sysctl: kernel.unprivileged_userns_clone, "
            "user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns)",
        ) from e


def build(cloud: Instance, venv: Path, *, lock: int) -> Namespaces:
    """Create the namespaces; their process 1 inherits lock. Raises HostError."""
    ready = cloud.state / "ready"
    ready.unlink(missing_ok=True)
    users = () if os.geteuid() == 0 else _AS_ROOT_INSIDE
    process = proc.detached(
        [
            "unshare", *users, "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc",
            "bash", config.folder() / "init.sh", cloud.state, f"{ADDRESS}/{config.PREFIX}",
            METADATA, config.BRIDGE, config.HOST,
        ],
        log_path=cloud.log_of("init"), env=environment(cloud, venv), keep=[lock],
    )  # fmt: skip
    try:
        wait.wait_until(
            ready.exists, timeout_s=_START_S, alive=lambda: process.poll() is None, interval_s=0.05
        )
    except (wait.Died, wait.Deadline):
        printed = cloud.log_of("init").read_text(errors="replace").splitlines()[-3:]
        reaper.reap(cloud.folder)
        raise HostError(
            f"cannot create the namespaces of the cloud {cloud.name}: {' / '.join(printed)}",
            hint=f"see {cloud.log_of('init')}",
        ) from None
    child = next(pid for pid, parent in reaper.parents().items() if parent == process.pid)
    return Namespaces(cloud, child, venv)


def _enter(pid: int) -> tuple[str, ...]:
    users = () if os.geteuid() == 0 else ("--user", "--preserve-credentials")
    return ("nsenter", "--target", str(pid), *users)


def end(cloud: Instance, pid: int | None) -> list[str]:
    """End a cloud's process 1 and with it all others; a line for each thing that had to be reaped."""
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        with contextlib.suppress(wait.Deadline):
            wait.wait_until(lambda: not cloud.is_live(), timeout_s=_END_S, interval_s=0.1)
    return reaper.reap(cloud.folder)
