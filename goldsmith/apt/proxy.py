# SPDX-License-Identifier: Apache-2.0
"""Debian's mirrors on a loopback port, for the length of a build.

What is built sees this address alone, so no mirror, password or proxy of the host can remain in it, and
sees exactly the index whose signature was checked, even while the mirror moves on. What it fetches is kept.
"""

from __future__ import annotations

import contextlib
import http.server
import shutil
import socket
import socketserver
import threading
import urllib.error
import urllib.parse
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path

from goldsmith.apt.indexes import IndexState, open_url
from goldsmith.apt.mirror import Mirrors
from goldsmith.apt.store import OtherContent, Store
from goldsmith.errors import BuildError

SERVED = b"!"  # the answer at the door
_HAND_IN_S = 10


@contextlib.contextmanager
def serve(mirrors: Mirrors, state: IndexState, arch: str, *, door: Path | None = None) -> Iterator[str]:
    """The address, e.g. http://127.0.0.1:40001: /debian/... and /security/... are the two mirrors.

    The index is state's, and what it lists comes out of the cache where it is there. A BuildError of the
    block is raised on with the names of what the mirror no longer has.
    door: a Unix socket to make, through which a network namespace hands its own port: see netcut.py. What
    the index does not list is not there on such a port.
    """
    bases = {"debian": mirrors.debian, "security": mirrors.security}
    lost: dict[str, str] = {}

    class Handler(_Handler):
        upstream = bases
        memory = state.releases
        store = Store(state, arch, bases)
        gone = lost

    class Strict(Handler):
        forwards = False

    with contextlib.ExitStack() as stack:
        server = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        stack.enter_context(_serving(server))
        if door is not None:
            stack.enter_context(_handed_in(door, Strict))
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        except BuildError as e:
            if lost:
                raise _lost(e, sorted(lost.values())) from e
            raise


@contextlib.contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def _handed_in(door: Path, handler: type[_Handler]) -> Iterator[None]:
    """Serve every port that somebody hands in at the door, a Unix socket, as long as the block lasts."""
    with contextlib.ExitStack() as stack:

        class Doorman(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError, ValueError):  # who asks notices, and says so
                    self.request.settimeout(_HAND_IN_S)
                    _, (listening,), _, _ = socket.recv_fds(self.request, 1, 1)
                    server = http.server.ThreadingHTTPServer(("", 0), handler, bind_and_activate=False)
                    server.socket.close()
                    server.socket = socket.socket(fileno=listening)
                    stack.enter_context(server)
                    stack.enter_context(_serving(server))
                    self.request.sendall(SERVED)

        with socketserver.UnixStreamServer(str(door), Doorman) as waiting, _serving(waiting):
            yield


def _lost(error: BuildError, paths: list[str]) -> BuildError:
    names = "".join(f"\n  | {path.rpartition('/')[2]}" for path in paths)
    return BuildError(
        f"{error}\nand the mirror no longer has {len(paths)} files of the package index, nor has the cache"
        f"{names}",
        hint=error.hint or "build from today's index; `outdated` shows what that changes",
    )


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    upstream: Mapping[str, str] = {}
    memory: Mapping[str, bytes] = {}
    store: Store
    gone: dict[str, str]  # hex sha256 -> path
    forwards = True  # what the index does not list

    def do_GET(self) -> None:
        path = urllib.parse.unquote(self.path.lstrip("/"))  # apt writes + as %2b
        if path in self.memory:
            self._head(HTTPStatus.OK, len(self.memory[path]))
            self.wfile.write(self.memory[path])
            return
        area, _, rest = path.partition("/")
        index = f"{area}/{rest.rpartition('/')[0]}/InRelease"
        if area not in self.upstream or ".." in rest.split("/"):
            self._refuse(HTTPStatus.NOT_FOUND)
        elif rest.endswith(("/Release", "/Release.gpg")) and index in self.memory:
            self._refuse(HTTPStatus.NOT_FOUND)  # the index that was checked is the only one there is
        else:
            self._hand_out(path, f"{self.upstream[area]}/{urllib.parse.quote(rest, safe='/~')}")

    def _hand_out(self, path: str, url: str) -> None:
        """Out of the store; what the mirror has otherwise than the index says goes on as it is, to apt."""
        sha256 = None
        try:
            sha256 = self.store.holds(path)
            file = None if sha256 is None else self.store.get(path, sha256)
        except OtherContent:
            file = None
        except urllib.error.HTTPError as e:
            e.close()
            if e.code == HTTPStatus.NOT_FOUND and sha256 is not None:
                self.gone[sha256] = path
            self._refuse(HTTPStatus(e.code))
            return
        except OSError:
            self._refuse(HTTPStatus.BAD_GATEWAY)
            return
        if file is None:
            if self.forwards:
                self._forward(url)
            else:
                self._refuse(HTTPStatus.NOT_FOUND)
            return
        self.gone.pop(sha256 or "", None)  # it was there under another name
        with contextlib.suppress(BrokenPipeError), file.open("rb") as source:
            self._head(HTTPStatus.OK, file.stat().st_size)
            shutil.copyfileobj(source, self.wfile, 1 << 18)

    def _forward(self, url: str) -> None:
        try:
            with open_url(url) as response:
                length = response.headers.get("Content-Length")
                self._head(HTTPStatus.OK, None if length is None else int(length))
                shutil.copyfileobj(response, self.wfile, 1 << 18)
        except urllib.error.HTTPError as e:
            e.close()
            self._refuse(HTTPStatus(e.code))
        except BrokenPipeError:
            self.close_connection = True
        except OSError:
            self._refuse(HTTPStatus.BAD_GATEWAY)

    def _head(self, status: HTTPStatus, length: int | None) -> None:
        self.send_response(status)
        if length is None:
            self.close_connection = True
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _refuse(self, status: HTTPStatus) -> None:
        self._head(status, 0)

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet: apt says in the build's log what it fetched."""
