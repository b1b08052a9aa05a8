# SPDX-License-Identifier: Apache-2.0
"""Ports of a cloud on this host's loopback: `python -m goldsmith.clouddoor NETNS ADDRESS TLS PORT:FD ...`

The sockets that listen are made in the host's network and handed over; then this process joins the
cloud's network (setns(2)), so that what it accepts outside it connects to inside. TLS is the folder that
cloudtls.py makes, or empty for plain connections.
"""

from __future__ import annotations

import asyncio
import ctypes
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from goldsmith.devcloud.tls import server_context

_CHUNK = 1 << 16
_Visitor = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
_CLONE_NEWNET = 0x40000000


def main(namespace: str, address: str, tls: str, *pairs: str) -> None:
    """Forward until the process is ended."""
    doors = {
        int(port): socket.socket(fileno=int(fd)) for port, _, fd in (pair.partition(":") for pair in pairs)
    }
    with Path(namespace).open("rb") as netns:
        _join(netns.fileno())
    asyncio.run(_forward(doors, address, server_context(Path(tls)) if tls else None))


def listening(ports: Mapping[str, int]) -> dict[str, socket.socket]:
    """A socket on a free port of loopback for each key of ports."""
    doors = {}
    for kind in ports:
        door = socket.socket()
        door.bind(("127.0.0.1", 0))
        door.listen(64)
        door.set_inheritable(True)
        doors[kind] = door
    return doors


def _join(netns: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(netns, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


async def _forward(doors: Mapping[int, socket.socket], address: str, tls: ssl.SSLContext | None) -> None:
    servers = [
        await asyncio.start_server(_visitor(address, port), sock=door, ssl=tls)
        for port, door in doors.items()
    ]
    await asyncio.gather(*(server.serve_forever() for server in servers))


def _visitor(address: str, port: int) -> _Visitor:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection(address, port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))

    return serve


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(_CHUNK):
            sink.write(data)
            await sink.drain()
    except OSError:
        pass
    finally:
        sink.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
