# SPDX-License-Identifier: Apache-2.0
"""Serve Debian's mirrors on a loopback port during a build.

A build sees only this address, so no mirror, password or proxy of the host can remain in the image. It sees
exactly the index whose signature was checked, even if the mirror changes. All packages are kept.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import io
import shutil
import socket
import socketserver
import threading
import urllib.error
import urllib.parse
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import IO

from goldsmith.apt.indexes import IndexState, open_url
from goldsmith.apt.mirror import Mirrors
from goldsmith.apt.store import OtherContent, Store
from goldsmith.errors import BuildError

SERVED = b"!"  # the response to a port that was passed to us
_PASS_PORT_S = 10
_DEBIAN = ".debian.org"
_ARCHIVES = ("archive", "snapshot")  # what these servers of Debian have is on no mirror


@contextlib.contextmanager
def serve(
    mirrors: Mirrors, state: IndexState, arch: str, *, proxy_socket: Path | None = None
) -> Iterator[str]:
    """The address, e.g. http://127.0.0.1:40001: /debian/... and /security/... are the two mirrors.

    It is an HTTP proxy, too: requests for the servers of Debian and for the mirrors lead to /debian and
    /security, those for other servers are forwarded.
    The index is state's; the files that it lists come from the cache if they are there. A BuildError of the
    block is raised again with the names of the files that the mirror no longer has.
    proxy_socket: a Unix socket to make, through which a network namespace passes its own port (netns.py).
    On such a port only files that the index lists are served.
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
        if proxy_socket is not None:
            stack.enter_context(_serving_passed_ports(proxy_socket, Strict))
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
def _serving_passed_ports(proxy_socket: Path, handler: type[_Handler]) -> Iterator[None]:
    """Serve every listening port that is passed through the Unix socket, until the block ends."""
    with contextlib.ExitStack() as stack:

        class PortReceiver(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError, ValueError):  # the client notices, and reports it
                    self.request.settimeout(_PASS_PORT_S)
                    _, (listening,), _, _ = socket.recv_fds(self.request, 1, 1)
                    server = http.server.ThreadingHTTPServer(("", 0), handler, bind_and_activate=False)
                    server.socket.close()
                    server.socket = socket.socket(fileno=listening)
                    stack.enter_context(server)
                    stack.enter_context(_serving(server))
                    self.request.sendall(SERVED)

        try:
            with socketserver.UnixStreamServer(str(proxy_socket), PortReceiver) as waiting, _serving(waiting):
                yield
        finally:
            proxy_socket.unlink(missing_ok=True)  # the next server may use the same path


def _lost(error: BuildError, paths: list[str]) -> BuildError:
    names = "".join(f"\n  | {path.rpartition('/')[2]}" for path in paths)
    return BuildError(
        f"{error}\n{len(paths)} files of the package index are neither on the mirror nor in the cache{names}",
        hint=error.hint or "build from today's index; `outdated` shows the difference",
    )


def _local(url: str, upstream: Mapping[str, str]) -> str | None:
    """The path here of a URL on a server of Debian or on a mirror; None for any other server.

    Raises ValueError for what is no URL.
    """
    bare = _without_login(url)
    for area, base in upstream.items():
        if bare.startswith(f"{(start := _without_login(base))}/"):
            return f"/{area}/{bare.removeprefix(f'{start}/')}"
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname
    if not host or parts.port == 0:  # port raises ValueError if it is none
        raise ValueError(url)
    server = host.removesuffix(_DEBIAN)
    if server == host or server in _ARCHIVES:
        return None
    for folder, area in (("/debian/", "debian"), ("/debian-security/", "security")):
        if parts.path.startswith(folder):
            return f"/{area}/{parts.path.removeprefix(folder)}"
    return f"/security{parts.path}" if server == "security" else None


def _without_login(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    upstream: Mapping[str, str] = {}
    memory: Mapping[str, bytes] = {}
    store: Store
    gone: dict[str, str]  # hex sha256 -> path
    forwards = True  # requests for files that the index does not list

    def do_GET(self) -> None:
        try:
            self._answer()
        except (ValueError, http.client.InvalidURL):
            self._refuse(HTTPStatus.BAD_REQUEST)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(self) -> None:
        if self.path.startswith("http://"):
            found = _local(self.path, self.upstream)
            if found is None:
                self._forward(self.path)
                return
            self.path = found
        path = urllib.parse.unquote(self.path.lstrip("/"))  # apt writes + as %2b
        if path in self.memory:
            self._head(HTTPStatus.OK, len(self.memory[path]))
            self._send(io.BytesIO(self.memory[path]))
            return
        area, _, rest = path.partition("/")
        index = f"{area}/{rest.rpartition('/')[0]}/InRelease"
        if area not in self.upstream or ".." in rest.split("/"):
            self._refuse(HTTPStatus.NOT_FOUND)
        elif rest.endswith(("/Release", "/Release.gpg")) and index in self.memory:
            self._refuse(HTTPStatus.NOT_FOUND)  # only the checked index may be used
        else:
            self._serve_file(path, f"{self.upstream[area]}/{urllib.parse.quote(rest, safe='/~')}")

    def _serve_file(self, path: str, url: str) -> None:
        """Serve a file of the store; forward other content than the index lists to apt, which rejects it."""
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
            self._forward(url)
            return
        self.gone.pop(sha256 or "", None)  # it was found under another name
        with contextlib.suppress(BrokenPipeError), file.open("rb") as source:
            self._head(HTTPStatus.OK, file.stat().st_size)
            self._send(source)

    def _forward(self, url: str) -> None:
        if not self.forwards:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        try:
            with open_url(url) as response:
                length = response.headers.get("Content-Length")
                self._head(HTTPStatus.OK, None if length is None else int(length))
                self._send(response)
        except urllib.error.HTTPError as e:
            e.close()
            self._refuse(HTTPStatus(e.code))
        except BrokenPipeError:
            self.close_connection = True
        except OSError:
            self._refuse(HTTPStatus.BAD_GATEWAY)

    def _send(self, source: IO[bytes] | http.client.HTTPResponse) -> None:
        if self.command != "HEAD":
            shutil.copyfileobj(source, self.wfile, 1 << 18)

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
        """Log nothing: apt lists its downloads in the build's log."""
