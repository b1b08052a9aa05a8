# SPDX-License-Identifier: Apache-2.0
"""The Docker engine: the user's own if it runs, else a private one that ends with its use."""

from __future__ import annotations

import contextlib
import grp
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import requests
from docker.context import ContextAPI
from docker.errors import DockerException

from goldsmith.core import isolation, privilege, proc, progress, reaper, removal, wait
from goldsmith.core.runs import Run
from goldsmith.errors import HostError

DEFAULT_SOCKET = Path("/var/run/docker.sock")
CALL_TIMEOUT_S = 600  # between two responses of the engine: a silent step of a Dockerfile may be long
_START_TIMEOUT_S = 60.0
_SOCKET_PATH_MAX = 107  # sizeof(sun_path) - 1, unix(7)
_DOWN = (DockerException, requests.RequestException, OSError)


@contextlib.contextmanager
def engine(run: Run, log_path: Path) -> Iterator[docker.DockerClient]:
    """A client of the user's engine, or of a private one that ends with the block.

    Raises HostError if an engine that the user named does not answer, if the running one denies access, or
    if none runs and none can be started.
    """
    with contextlib.ExitStack() as stack:
        client = answering()
        if client is None:
            client = stack.enter_context(private(run, log_path))
        stack.callback(client.close)
        yield client


def answering() -> docker.DockerClient | None:
    """The engine that DOCKER_HOST, the docker context or the default socket names; None if none runs."""
    host = os.environ.get("DOCKER_HOST")
    if host:
        return _named(lambda: docker.from_env(timeout=CALL_TIMEOUT_S), host, f"DOCKER_HOST={host}")
    name = os.environ.get("DOCKER_CONTEXT")
    context = ContextAPI.get_context(name)
    if context is None:
        raise HostError(f"there is no docker context {name}", hint="run: docker context ls")
    if context.Host and context.Name != "default":
        tls = context.TLSConfig or False
        return _named(
            lambda: docker.DockerClient(base_url=context.Host, tls=tls, timeout=CALL_TIMEOUT_S),
            context.Host,
            f"the docker context {context.Name}",
        )
    return _default()


def _named(connect: Callable[[], docker.DockerClient], address: str, named_by: str) -> docker.DockerClient:
    try:
        _listens(address)
        client = connect()
        client.ping()
    except _DOWN as e:
        raise HostError(
            f"no Docker engine answers at {named_by}: {e}",
            hint="start it, or unset the variable or context: goldsmith then starts a private engine",
        ) from e
    return client


def _default() -> docker.DockerClient | None:
    try:
        _listens(f"unix://{DEFAULT_SOCKET}")
    except PermissionError as e:
        raise HostError(
            f"you have no access to the Docker engine at {DEFAULT_SOCKET}",
            hint=f"run: sudo usermod -aG docker {os.environ.get('USER', '$USER')}, then log in again",
        ) from e
    except OSError:
        return None
    return _try(f"unix://{DEFAULT_SOCKET}")


def _try(address: str) -> docker.DockerClient | None:
    with contextlib.ExitStack() as stack, contextlib.suppress(*_DOWN):
        _listens(address)
        client = docker.DockerClient(base_url=address, timeout=CALL_TIMEOUT_S)
        stack.callback(client.close)
        client.ping()
        stack.pop_all()
        return client
    return None


def _listens(address: str) -> None:
    """Raise OSError if nothing serves this Unix socket (docker's client would leave its own socket open)."""
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(address.removeprefix("unix://"))


@contextlib.contextmanager
def private(run: Run, log_path: Path) -> Iterator[docker.DockerClient]:
    """A client of a private engine in the run's folder, which ends with the block."""
    dockerd = proc.which("dockerd")
    if dockerd is None:
        raise HostError(
            "no Docker engine is running, and dockerd is not installed to start one",
            hint="install Docker (Debian: apt-get install docker.io), or set DOCKER_HOST",
        )
    privilege.require_root(
        "no Docker engine is running, and starting a private one", otherwise="start Docker"
    )
    folder = Path(tempfile.mkdtemp(prefix="e", dir=run.folder))  # a short name, for the sockets in it
    try:
        with proc.background(
            isolation.contained(_argv(dockerd, folder)), log_path=log_path, grace_s=20
        ) as process:
            client = _answer(process, folder / "sock", log_path)
            progress.note("no Docker engine is running: started a private one")
            with contextlib.closing(client):
                yield client
    finally:
        _clean_up(folder)


def _argv(dockerd: Path, folder: Path) -> list[str | Path]:
    """The arguments of dockerd, separate from the host's; builds use its network: no bridge, no firewall."""
    longest = folder / "x/containerd/containerd-debug.sock"
    if len(str(longest)) > _SOCKET_PATH_MAX:
        raise HostError(
            f"the path {longest} is too long for a socket", hint="set GOLDSMITH_SCRATCH to a short path"
        )
    config = folder / "daemon.json"
    config.write_text("{}\n")  # otherwise dockerd reads /etc/docker/daemon.json
    return [
        dockerd, "--config-file", config,
        "--host", f"unix://{folder / 'sock'}", "--group", grp.getgrgid(os.getegid()).gr_name,
        "--data-root", folder / "d", "--exec-root", folder / "x", "--pidfile", folder / "pid",
        "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-masq=false",
        "--userland-proxy=false", "--log-level=warn",
    ]  # fmt: skip


def _answer(process: proc.Process, path: Path, log_path: Path) -> docker.DockerClient:
    def probe() -> docker.DockerClient | None:
        return _try(f"unix://{path}")

    try:
        return wait.wait_until(
            probe, timeout_s=_START_TIMEOUT_S, alive=lambda: process.poll() is None, interval_s=0.05
        )
    except (wait.Died, wait.Deadline) as e:
        lines = log_path.read_text(errors="replace").splitlines()[-5:]
        tail = "".join(f"\n  | {line}" for line in lines)
        raise HostError(f"a private Docker engine did not start{tail}", hint=f"full log: {log_path}") from e


def _clean_up(folder: Path) -> None:
    """dockerd stops its containerd and unmounts; do here what it could not."""
    if reaper.leftovers(folder):
        reaper.reap(folder)
    removal.remove_tree_as_root(folder)
