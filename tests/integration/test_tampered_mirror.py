# SPDX-License-Identifier: Apache-2.0
"""A mirror that changes a package or an index makes the build of a disk image fail."""

from __future__ import annotations

import contextlib
import http.server
import threading
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goldsmith.apt import indexes, mirror
from tests.support.tiny_builds import TinyPlace

pytestmark = pytest.mark.integration

SPEC = "name: tampered\ndistribution: debian\nrelease: trixie\ncontainers: []\nkubelet: null\n"


class TamperingMirror(http.server.ThreadingHTTPServer):
    """A Debian mirror on loopback that forwards a real one; spoil selects the file that it changes."""

    def __init__(self, spoil: Callable[[str], bool]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spoil, self.upstream = spoil, mirror.find().debian
        self.spoiled: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: TamperingMirror

    def do_GET(self) -> None:
        try:
            with indexes.open_url(f"{self.server.upstream}{self.path}") as answer:
                data = answer.read()
        except urllib.error.HTTPError as e:
            self.send_error(e.code)
            return
        if self.server.spoil(self.path):
            self.server.spoiled.append(self.path)
            middle = len(data) // 2
            data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@contextlib.contextmanager
def tampering(spoil: Callable[[str], bool]) -> Iterator[TamperingMirror]:
    server = TamperingMirror(spoil)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: "/base-files_" in path, "Hash Sum mismatch"),
        (
            lambda path: path.endswith("/trixie/InRelease"),
            "the signature of 127.0.0.1/dists/trixie/InRelease is not valid",
        ),
    ],
    ids=["package", "index"],
)
def test_a_file_that_the_mirror_changed_makes_the_build_fail(
    tiny_place: TinyPlace, tmp_path: Path, spoil: Callable[[str], bool], said: str
) -> None:
    (tmp_path / "tampered.yaml.j2").write_text(SPEC)

    with tampering(spoil) as server:
        done = tiny_place.inv(
            "build-image", tmp_path / "tampered.yaml.j2", env={"GOLDSMITH_DEBIAN_MIRROR": server.url}
        )

    assert server.spoiled
    assert done.status == 4, done.stderr
    (build,) = tiny_place.builds("tampered")[-1:]
    log = build / "build.log"
    assert said in done.stderr + (log.read_text() if log.exists() else "")
    assert list(build.glob("*.qcow2")) == []
    assert tiny_place.remains() == []
