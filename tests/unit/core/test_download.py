# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith.core import download
from goldsmith.errors import BuildError
from tests.support.meters import Meters

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT at any path, with the faults that the path names."""

    faults: list[str]  # one taken from the front at each request: a status, "cut" or "stall"
    ranges: list[str | None]
    ignore_range = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.server.ranges.append(wanted)
        fault = self.server.faults.pop(0) if self.server.faults else ""
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/moved"))
            self.end_headers()
        elif fault.isdigit():
            self.send_error(int(fault))
        elif wanted and not self.server.ignore_range:
            self._answer(206, CONTENT[int(wanted.removeprefix("bytes=").removesuffix("-")) :], fault)
        else:
            self._answer(200, CONTENT, fault)

    def _answer(self, status: int, body: bytes, fault: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if fault else body)
        if fault == "stall":
            threading.Event().wait(0.5)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.faults, server.ranges = [], []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GOLDSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "_PAUSE_S", 0.01)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


def fetch(url: str, tmp_path: Path, sha256: str = SHA256) -> Path:
    return download.fetch(url, sha256, log_path=tmp_path / "log")


def kept(cache: Path) -> list[str]:
    return [path.name for path in (cache / "download").iterdir() if not path.name.endswith(".lock")]


def test_a_file_is_cached_under_its_own_name(server: Server, tmp_path: Path) -> None:
    path = fetch(f"{server.url}/pub/base%20image.qcow2?token=s3cret", tmp_path)

    assert path.name == "base_image.qcow2"
    assert path.read_bytes() == CONTENT
    log = (tmp_path / "log").read_text()
    assert "/pub/base%20image.qcow2: 1.0 MiB in" in log
    assert "s3cret" not in log


def test_a_cached_file_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    first = fetch(f"{server.url}/a", tmp_path)
    second = fetch(f"{server.url}/b", tmp_path, SHA256.upper())

    assert first == second
    assert len(server.ranges) == 1


def test_a_file_of_another_sha256_is_refused_and_not_kept(
    server: Server, tmp_path: Path, cache: Path
) -> None:
    with pytest.raises(BuildError, match=f"expected {'0' * 64}, got {SHA256}"):
        fetch(f"{server.url}/a", tmp_path, "0" * 64)

    assert kept(cache) == []
    assert len(server.ranges) == 1


def test_a_file_url_is_read(tmp_path: Path) -> None:
    (tmp_path / "kubelet").write_bytes(CONTENT)

    assert fetch((tmp_path / "kubelet").as_uri(), tmp_path).read_bytes() == CONTENT


def test_a_redirect_is_followed(server: Server, tmp_path: Path) -> None:
    assert fetch(f"{server.url}/moved/a", tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("status", ["429", "500", "502", "503", "504"])
def test_a_temporary_failure_is_tried_again(server: Server, tmp_path: Path, status: str) -> None:
    server.faults = [status, status]

    assert fetch(f"{server.url}/a", tmp_path).read_bytes() == CONTENT
    assert len(server.ranges) == 3


def test_a_broken_transfer_is_resumed(server: Server, tmp_path: Path) -> None:
    server.faults = ["cut"]

    assert fetch(f"{server.url}/a", tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={len(CONTENT) // 2}-"]


def test_how_far_a_transfer_is_goes_on_where_it_is_resumed(
    server: Server, tmp_path: Path, meters: Meters
) -> None:
    server.faults = ["cut"]
    download.fetch(f"{server.url}/a", SHA256, log_path=tmp_path / "log")

    size = len(CONTENT)
    assert [(meter.total, meter.seen[-1][0]) for meter in meters] == [(size, size // 2), (size, size)]
    assert {meter.title for meter in meters} == {f"fetch {server.url}/a"}
    assert [meter.begun for meter in meters] == [0, size // 2]


def test_a_server_that_knows_no_ranges_starts_from_the_beginning(server: Server, tmp_path: Path) -> None:
    server.faults, server.ignore_range = ["cut"], True

    assert fetch(f"{server.url}/a", tmp_path).read_bytes() == CONTENT


def test_a_range_that_is_refused_starts_from_the_beginning(server: Server, tmp_path: Path) -> None:
    server.faults = ["cut", "416"]

    assert fetch(f"{server.url}/a", tmp_path).read_bytes() == CONTENT
    assert server.ranges[-1] is None


def test_a_connection_that_stalls_is_given_up(
    server: Server, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_STALL_S", 0.05)
    server.faults = ["stall"] * 4

    with pytest.raises(BuildError, match="tried 4 times: timed out"):
        fetch(f"{server.url}/a", tmp_path)

    assert kept(cache) == []


def test_a_missing_file_is_not_requested_again(server: Server, tmp_path: Path) -> None:
    server.faults = ["404"]

    with pytest.raises(BuildError, match="404 Not Found") as e:
        fetch(f"{server.url}/a", tmp_path)

    assert len(server.ranges) == 1
    assert e.value.retryable is False


def test_a_host_that_refuses_is_named_after_four_attempts(tmp_path: Path) -> None:
    with Server(("127.0.0.1", 0), Handler) as gone:
        url = gone.url

    with pytest.raises(BuildError, match=f"cannot fetch {url}/a, tried 4 times: .*refused") as e:
        fetch(f"{url}/a", tmp_path)

    assert e.value.retryable is True


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://host.test/a", "ftp"),
        ("/just/a/path", "no scheme"),
        ("file:///nowhere/at/all", "No such file"),
        ("http://user:s3cret@host.test/a", "not a valid URL"),
    ],
)
def test_an_invalid_url_is_refused_at_once(url: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=why) as caught:
        fetch(url, tmp_path)

    assert "s3cret" not in str(caught.value)
    assert "tried" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a/.files.json", "files.json"),
        ("/", "file"),
        ("/x/..%2F..%2Fetc", "_.._etc"),
        ("/" + "n" * 300, "n" * 120),
    ],
)
def test_a_name_in_the_cache_is_harmless(server: Server, tmp_path: Path, path: str, name: str) -> None:
    assert fetch(server.url + path, tmp_path).name == name
