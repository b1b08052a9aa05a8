# SPDX-License-Identifier: Apache-2.0
"""Give a program in a network namespace the package proxy as its only connection.

`python -m goldsmith.apt.netns SOCKET PORT -- PROGRAM ...` runs as root in a new network namespace. It opens
PORT on the loopback there, passes it through the Unix socket SOCKET to apt.proxy.serve(), and becomes
PROGRAM.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from goldsmith.apt import proxy
from goldsmith.core import proc
from goldsmith.core.proc import Arg
from goldsmith.errors import HostError


@dataclass(frozen=True, kw_only=True, slots=True)
class ProxySocket:
    """path: the Unix socket of the proxy; port: its port on loopback, both outside and in the namespace."""

    path: Path
    port: int


def behind_proxy(argv: Sequence[Arg], proxy_socket: ProxySocket) -> tuple[Arg, ...]:
    """The command by which root, in a network namespace, runs argv with the proxy's port."""
    return (
        sys.executable, "-B", "-P", "-m", "goldsmith.apt.netns",
        proxy_socket.path, str(proxy_socket.port), "--", *argv,
    )  # fmt: skip


def main(path: str, port: str, separator: str, *argv: str) -> None:
    """Pass the port on and become the program. Raises OSError, CommandError or HostError."""
    assert separator == "--"
    proc.capture(["ip", "link", "set", "lo", "up"])
    with socket.create_server(("127.0.0.1", int(port))) as listening, socket.socket(socket.AF_UNIX) as peer:
        served = b""
        with contextlib.suppress(ConnectionError):
            peer.connect(path)
            socket.send_fds(peer, [b"!"], [listening.fileno()])
            served = peer.recv(len(proxy.SERVED))
    if served != proxy.SERVED:
        raise HostError(f"the package proxy does not serve {path}", hint="build again")
    proc.become(argv, os.environ)


if __name__ == "__main__":
    main(*sys.argv[1:])
