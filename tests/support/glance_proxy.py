# SPDX-License-Identifier: Apache-2.0
"""An HTTP proxy before a real Glance: it delays, cuts connections, changes bytes, records requests."""

from __future__ import annotations

import datetime
import http.client
import http.server
import re
import socket
import ssl
import threading
import urllib.parse
from collections.abc import Callable
from typing import Any

_CHUNK = 1 << 16
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_HOP = {"connection", "keep-alive", "transfer-encoding", "host"}


class GlanceProxy:
    """An HTTP proxy in front of one address. Its attributes set what it does to requests."""

    def __init__(self, target: str, ca: str | None) -> None:
        self.target = urllib.parse.urlsplit(target)
        self.trust = ssl.create_default_context(cafile=ca) if ca else None
        self.before: Callable[[str, str], None] = lambda _method, _path: None  # a request is passed on
        self.after: Callable[[str, str], None] = lambda _method, _path: None  # its answer is passed back
        self.flip = False  # one bit of every uploaded image
        self.clock = datetime.timedelta()  # how far Glance's is ahead
        self.cut: list[int] = []  # bytes after which the next uploads are cut off, one after the other
        self.asked: list[tuple[str, str]] = []
        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self})
        )
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def reset(self) -> None:
        """To the initial state."""
        self.before = self.after = lambda _method, _path: None
        self.flip, self.cut, self.asked, self.clock = False, [], [], datetime.timedelta()

    def connection(self) -> http.client.HTTPConnection:
        host, port = str(self.target.hostname), self.target.port
        if self.trust:
            return http.client.HTTPSConnection(host, port, context=self.trust, timeout=60)
        return http.client.HTTPConnection(host, port, timeout=60)


class _Handler(http.server.BaseHTTPRequestHandler):
    """One connection of a client's; proxy is set by a subclass."""

    protocol_version = "HTTP/1.1"
    proxy: GlanceProxy

    def log_message(self, *_words: Any) -> None:
        """Say nothing."""

    def pass_on(self) -> None:
        proxy = self.proxy
        proxy.asked.append((self.command, self.path))
        try:
            proxy.before(self.command, self.path)
            upstream = proxy.connection()
            self._send_head(upstream)
            self._send_body(upstream)
            self._answer(upstream.getresponse())
            upstream.close()
            proxy.after(self.command, self.path)
        except (OSError, http.client.HTTPException):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def _send_head(self, upstream: http.client.HTTPConnection) -> None:
        upstream.putrequest(self.command, self.path, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _HOP:
                upstream.putheader(name, value)
        upstream.endheaders()

    def _send_body(self, upstream: http.client.HTTPConnection) -> None:
        left, sent = int(self.headers.get("Content-Length") or 0), 0
        is_upload = self.command == "PUT" and left > _CHUNK
        cut = self.proxy.cut.pop(0) if is_upload and self.proxy.cut else None
        while left:
            piece = self.rfile.read(min(left, _CHUNK))
            if not piece or (cut is not None and sent > cut):
                upstream.close()
                raise ConnectionError
            if is_upload and self.proxy.flip and left == len(piece):
                # the last byte: Glance recognizes a format by the first ones
                piece = bytes([*piece[:-1], piece[-1] ^ 1])
            upstream.send(piece)
            left, sent = left - len(piece), sent + len(piece)

    def _answer(self, answer: http.client.HTTPResponse) -> None:
        body = self._by_its_clock(answer.read())
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in (*_HOP, "content-length", "server", "date"):
                self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _by_its_clock(self, body: bytes) -> bytes:
        """An answer whose times are moved by the clock's difference."""
        if not self.proxy.clock or len(body) > _CHUNK:
            return body

        def moved(found: re.Match[bytes]) -> bytes:
            time = datetime.datetime.strptime(found[0].decode(), _TIME).replace(tzinfo=datetime.UTC)
            return (time + self.proxy.clock).strftime(_TIME).encode()

        return re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", moved, body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = pass_on
