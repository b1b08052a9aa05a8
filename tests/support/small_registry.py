# SPDX-License-Identifier: Apache-2.0
"""A registry on loopback that gives the answers that a test sets, and records what it is asked."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Answer(NamedTuple):
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class SmallRegistry:
    """answers: by path with query. asked: path, header Authorization and form of each request.

    needs: the header Authorization that /v2/ wants; challenge: what it answers without.
    """

    host: str
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)
    challenge: list[str] = field(default_factory=list)

    def answer(self, path: str, authorization: str, form: str) -> Answer:
        self.asked.append((path, authorization, form))
        if self.needs and path.startswith("/v2/") and authorization not in self.needs:
            return Answer(401, headers={"WWW-Authenticate": self.challenge[0]})
        return self.answers.get(path, Answer(404))


@contextlib.contextmanager
def small_registry() -> Iterator[SmallRegistry]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    made = SmallRegistry(host=f"127.0.0.1:{server.server_address[1]}")
    server.registry = made  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        form = self.rfile.read(size).decode()
        registry: SmallRegistry = self.server.registry  # type: ignore[attr-defined]
        answer = registry.answer(self.path, self.headers.get("Authorization") or "", form)
        self.send_response(answer.status)
        for key, value in answer.headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # who has read enough hangs up
            self.wfile.write(answer.body)

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Be quiet: an attempt with TLS is no request."""
