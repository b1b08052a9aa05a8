# SPDX-License-Identifier: Apache-2.0
"""Port forward from this host's loopback into a cloud.

`python -m goldsmith.devcloud.port_forward NETNS ADDRESS TLS PORT:FD ...`

The listening sockets are opened in the host's network and inherited; then this process joins the cloud's
network (setns(2)), so that it accepts connections outside and opens theirs inside. TLS is the folder of
tls.py, or empty for plain connections.
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
_Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
_CLONE_NEWNET = 0x40000000


def main(namespace: str, address: str, tls: str, *pairs: str) -> None:
    """Forward until the process ends."""
    listeners = {
        int(port): socket.socket(fileno=int(fd)) for port, _, fd in (pair.partition(":") for pair in pairs)
    }
    with Path(namespace).open("rb") as netns:
        _join(netns.fileno())
    asyncio.run(_forward(listeners, address, server_context(Path(tls)) if tls else None))


def listening(ports: Mapping[str, int]) -> dict[str, socket.socket]:
    """A listening socket on a free port of loopback for each key of ports."""
    listeners = {}
    for kind in ports:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        listener.set_inheritable(True)
        listeners[kind] = listener
    return listeners


def _join(netns: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(netns, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


async def _forward(listeners: Mapping[int, socket.socket], address: str, tls: ssl.SSLContext | None) -> None:
    servers = [
        await asyncio.start_server(_handler(address, port), sock=listener, ssl=tls)
        for port, listener in listeners.items()
    ]
    await asyncio.gather(*(server.serve_forever() for server in servers))


def _handler(address: str, port: int) -> _Handler:
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
