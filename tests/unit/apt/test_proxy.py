# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import http.server
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator

import pytest

from goldsmith.apt import proxy
from goldsmith.apt.indexes import IndexState
from goldsmith.apt.mirror import Mirrors

DEBIAN = "debian.org"
PINNED = {"debian/dists/x/InRelease": b"the one that was checked"}


@pytest.fixture
def address() -> Iterator[str]:
    """The proxy, in front of another one that plays the mirror."""
    files = {"debian/pool/a.deb": b"a" * 3_000_000, "security/dists/x-security/InRelease": b"s"}
    nowhere = Mirrors(debian="http://127.0.0.1:9", security="http://127.0.0.1:9")
    with proxy.serve(nowhere, IndexState(releases=files), "amd64") as upstream:
        mirrors = Mirrors(debian=f"{upstream}/debian", security=f"{upstream}/security")
        with proxy.serve(mirrors, IndexState(releases=PINNED), "amd64") as front:
            yield front


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - on loopback
        return bytes(answer.read())


def status(url: str) -> int:
    with pytest.raises(urllib.error.HTTPError) as e:
        get(url)
    e.value.close()
    return e.value.code


def test_requests_for_both_mirrors_are_forwarded(address: str) -> None:
    assert get(f"{address}/debian/pool/a.deb") == b"a" * 3_000_000
    assert get(f"{address}/security/dists/x-security/InRelease") == b"s"


def test_a_checked_index_is_served_from_memory(address: str) -> None:
    assert get(f"{address}/debian/dists/x/InRelease") == b"the one that was checked"


def test_the_unchecked_form_of_a_checked_index_is_not_served(address: str) -> None:
    assert status(f"{address}/debian/dists/x/Release") == 404


def test_a_missing_file_is_404_and_an_unreachable_mirror_is_502(address: str) -> None:
    assert status(f"{address}/elsewhere/a") == 404
    assert status(f"{address}/debian/../a") == 404
    assert status(f"{address}/debian/pool/b.deb") == 502


@pytest.mark.parametrize(
    ("url", "content"),
    [
        (f"http://deb.{DEBIAN}/debian/pool/a.deb", b"a" * 3_000_000),
        (f"http://ftp.de.{DEBIAN}/debian/dists/x/InRelease", b"the one that was checked"),
        (f"http://deb.{DEBIAN}/debian-security/dists/x-security/InRelease", b"s"),
        (f"http://security.{DEBIAN}/debian-security/dists/x-security/InRelease", b"s"),
        (f"http://security.{DEBIAN}/dists/x-security/InRelease", b"s"),
    ],
)
def test_as_a_proxy_it_is_the_mirror_for_all_of_debians_servers(
    address: str, url: str, content: bytes
) -> None:
    assert get_through(address, url) == content


def test_as_a_proxy_it_forwards_requests_for_other_servers(address: str) -> None:
    class Elsewhere(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.path.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        answer = get_through(address, f"http://127.0.0.1:{server.server_port}/debian/a%2bb")
        thread.join()

    assert answer == b"/debian/a%2bb"


@pytest.mark.parametrize(
    "target",
    [
        "http://[::1",
        "http://x:abc/",
        "http://x:99999/a",
        "http://user@[x]:1/",
        "http:///",
    ],
)
def test_what_is_no_url_is_400_and_keeps_the_connection(address: str, target: str) -> None:
    answers = asked(address, f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n", "GET /no HTTP/1.1\r\n\r\n")

    assert [answer.split()[1] for answer in answers] == ["400", "404"]


@pytest.mark.parametrize(
    ("path", "length"),
    [("/debian/pool/a.deb", 3_000_000), ("/debian/dists/x/InRelease", 24), ("/debian/dists/x/Release", 0)],
)
def test_head_is_answered_as_get_without_the_content(address: str, path: str, length: int) -> None:
    head, after = asked(address, f"HEAD {path} HTTP/1.1\r\n\r\n", "GET /no HTTP/1.1\r\n\r\n")

    assert f"\r\nContent-Length: {length}\r\n" in head
    assert " 404 " in after.splitlines()[0]


@pytest.mark.parametrize("login", ["", "joe:p%40ss@", "other@"])
@pytest.mark.parametrize("known", ["", "joe:p%40ss@"])
def test_a_mirror_is_known_whatever_login_its_address_has(login: str, known: str) -> None:
    mirrors = {"debian": f"http://{known}mirror.test:81/d", "security": "http://mirror.test:81/d-security"}

    assert proxy._local(f"http://{login}mirror.test:81/d/pool/a?b", mirrors) == "/debian/pool/a?b"
    assert proxy._local(f"http://{login}mirror.test:81/d-security/a", mirrors) == "/security/a"
    assert proxy._local(f"http://{login}mirror.test/d/pool/a", mirrors) is None


@pytest.mark.parametrize(
    "url",
    [
        f"http://snapshot.{DEBIAN}/debian/a", f"http://archive.{DEBIAN}/debian/a",
        f"http://deb.{DEBIAN}.test/debian/a", "http://other.test/debian/a", f"http://deb.{DEBIAN}/else/a",
    ],
)  # fmt: skip
def test_other_servers_are_no_mirror(url: str) -> None:
    assert proxy._local(url, {"debian": "http://mirror.test/debian"}) is None


def get_through(proxy: str, url: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": proxy}))
    with opener.open(url, timeout=10) as answer:
        return bytes(answer.read())


def asked(address: str, *requests: str) -> list[str]:
    """The heads of the answers to requests on one connection, which have no content."""
    parts = urllib.parse.urlsplit(address)
    with socket.create_connection((str(parts.hostname), parts.port or 0), timeout=10) as connection:
        answers = []
        with connection.makefile("rb") as lines:
            for request in requests:
                connection.sendall(request.encode())
                head = []
                while (line := lines.readline()) not in (b"\r\n", b""):
                    head.append(line.decode())
                answers.append("".join(head))
        return answers
