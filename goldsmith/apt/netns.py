# SPDX-License-Identifier: Apache-2.0
"""Run a program in a network namespace whose only connection is the package proxy.

`python -m goldsmith.apt.netns SOCKET PORT USER ENVIRONMENT -- PROGRAM ...` runs as root in a new network
namespace. It opens PORT on the loopback there, passes it through the Unix socket SOCKET to
apt.proxy.serve(), and becomes PROGRAM as USER (a number). ENVIRONMENT is a JSON file with the program's
variables, because sudo passes none on.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from goldsmith.apt import proxy
from goldsmith.core import privilege, proc
from goldsmith.core.proc import Arg
from goldsmith.errors import HostError


@dataclass(frozen=True, kw_only=True, slots=True)
class ProxySocket:
    """path: the Unix socket of the proxy; port: its port on loopback, both outside and in the namespace."""

    path: Path
    port: int


def isolated(argv: Sequence[Arg], env: Mapping[str, str], proxy_socket: ProxySocket) -> tuple[Arg, ...]:
    """The command that runs argv with these variables and without a network, except for the proxy's port."""
    variables = proxy_socket.path.with_name(f"{proxy_socket.path.name}-environment.json")
    variables.touch(mode=0o600)
    variables.write_text(json.dumps(dict(env)))
    helper = (
        sys.executable, "-B", "-P", "-m", "goldsmith.apt.netns", proxy_socket.path, str(proxy_socket.port),
    )  # fmt: skip
    return privilege.as_root(("unshare", "--net", *helper, str(os.getuid()), variables, "--", *argv))


def main(path: str, port: str, user: str, environment: str, separator: str, *argv: str) -> None:
    """Pass the port on and become the program. Raises OSError, CommandError or HostError."""
    assert separator == "--"
    env: dict[str, str] = json.loads(Path(environment).read_text())
    proc.capture(["ip", "link", "set", "lo", "up"])
    with socket.create_server(("127.0.0.1", int(port))) as listening, socket.socket(socket.AF_UNIX) as peer:
        served = b""
        with contextlib.suppress(ConnectionError):
            peer.connect(path)
            socket.send_fds(peer, [b"!"], [listening.fileno()])
            served = peer.recv(len(proxy.SERVED))
    if served != proxy.SERVED:
        raise HostError(f"the package proxy does not serve {path}", hint="build again")
    if int(user) != os.getuid():
        account = pwd.getpwuid(int(user))
        os.initgroups(account.pw_name, account.pw_gid)
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    proc.become(argv, env)


if __name__ == "__main__":
    main(*sys.argv[1:])
