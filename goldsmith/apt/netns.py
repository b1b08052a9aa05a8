# SPDX-License-Identifier: Apache-2.0
"""A program without a network, but for one port of its own loopback that is served from outside.

`python -m goldsmith.netcut DOOR PORT USER ENVIRONMENT -- PROGRAM ...`, as root in a network namespace that
nobody else is in, opens the port, hands it out through the Unix socket DOOR (aptproxy.serve() waits there),
and becomes PROGRAM as USER (a number). ENVIRONMENT is a JSON file with the program's variables, for sudo
lets none through.
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
class Door:
    """path: the Unix socket of who serves the port; port: on loopback, in the namespace as outside."""

    path: Path
    port: int


def behind(argv: Sequence[Arg], env: Mapping[str, str], door: Door) -> tuple[Arg, ...]:
    """The words that run argv with these variables, and with no network but the door's port."""
    variables = door.path.with_name(f"{door.path.name}-environment.json")
    variables.touch(mode=0o600)
    variables.write_text(json.dumps(dict(env)))
    helper = (sys.executable, "-B", "-P", "-m", "goldsmith.apt.netns", door.path, str(door.port))
    return privilege.as_root(("unshare", "--net", *helper, str(os.getuid()), variables, "--", *argv))


def main(door: str, port: str, user: str, environment: str, separator: str, *argv: str) -> None:
    """Become the program. Raises OSError, CommandError or HostError where that cannot be."""
    assert separator == "--"
    env: dict[str, str] = json.loads(Path(environment).read_text())
    proc.capture(["ip", "link", "set", "lo", "up"])
    with socket.create_server(("127.0.0.1", int(port))) as listening, socket.socket(socket.AF_UNIX) as peer:
        served = b""
        with contextlib.suppress(ConnectionError):
            peer.connect(door)
            socket.send_fds(peer, [b"!"], [listening.fileno()])
            served = peer.recv(len(proxy.SERVED))
    if served != proxy.SERVED:
        raise HostError("nobody serves the packages of the locked index")
    if int(user) != os.getuid():
        account = pwd.getpwuid(int(user))
        os.initgroups(account.pw_name, account.pw_gid)
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    proc.become(argv, env)


if __name__ == "__main__":
    main(*sys.argv[1:])
