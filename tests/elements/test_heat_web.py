# SPDX-License-Identifier: Apache-2.0
"""Requests of the agent against a server that redirects, or whose answer never ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from heat_config import deadline, metadata, signalling, web
from heat_pods import node

from goldsmith.core.paths import project_root

FILES = project_root() / "elements/heat-agent/agent-files"
DRIP_S = 0.02


class Server:
    """/3XX redirects to /there, which answers 200; /drip answers byte by byte, without an end."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []  # method, path, body
        self.is_over = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
                server.asked.append((self.command, self.path, body))
                if self.path == "/v3/auth/tokens":
                    self._token()
                elif "drip" in self.path:
                    self._drip()
                elif found := re.match("/(3..)(/|$)", self.path):
                    self.send_response(int(found[1]))
                    self.send_header("Location", "/there")
                    self.end_headers()
                else:
                    self.send_response(200)
                    self.end_headers()

            do_POST = do_PUT = do_GET

            def _drip(self) -> None:
                self.send_response(200)
                self.end_headers()
                while not server.is_over.wait(DRIP_S):
                    self.wfile.write(b" ")

            def _token(self) -> None:
                names = {"interface": "public", "region_id": "R", "region": "R"}
                endpoints = [{**names, "url": f"{server.url}/{server.heat}"}]
                catalog = [{"type": "orchestration", "name": "heat", "endpoints": endpoints}]
                token = {"catalog": catalog, "expires_at": "2050-01-01T00:00:00.000000Z", "methods": []}
                self.send_response(201)
                self.send_header("X-Subject-Token", "t")
                self.end_headers()
                self.wfile.write(json.dumps({"token": token}).encode())

            def log_message(self, *words: object) -> None:
                pass

        self.heat = "v1"  # the path of Heat's API
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.is_over.set()
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second for a request; the drops come faster than that."""
    monkeypatch.setattr(deadline, "REQUEST_S", 0.5)


def user(server: Server) -> dict[str, str]:
    return {"auth_url": f"{server.url}/v3", "user_id": "u", "password": "p", "project_id": "q"}


def by_url(server: Server, path: str, verb: str = "POST") -> dict[str, str]:
    return {"deploy_signal_id": f"{server.url}{path}", "deploy_signal_verb": verb}


def by_heat(server: Server) -> dict[str, str]:
    named = {f"deploy_{name}": value for name, value in user(server).items()}
    return {**named, "deploy_stack_id": "s/1", "deploy_resource_name": "pods"}


ANSWER = {"deploy_status_code": 0}
BODY = json.dumps(ANSWER)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304])
@pytest.mark.parametrize("verb", ["POST", "PUT"])
def test_a_redirect_to_another_request_delivers_no_signal(server: Server, verb: str, status: int) -> None:
    with pytest.raises(signalling.Undelivered, match=f"^{status}: "):
        signalling.send(by_url(server, f"/{status}", verb), ANSWER)

    assert server.asked == [(verb, f"/{status}", BODY)]


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("verb", ["POST", "PUT"])
def test_a_redirect_of_the_same_request_is_followed(server: Server, verb: str, status: int) -> None:
    signalling.send(by_url(server, f"/{status}", verb), ANSWER)

    assert server.asked == [(verb, f"/{status}", BODY), (verb, "/there", BODY)]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_of_heats_api_delivers_no_signal_and_gets_no_token(server: Server, status: int) -> None:
    server.heat = f"{status}"

    with pytest.raises(signalling.Undelivered, match=f"^{status}: "):
        signalling.send(by_heat(server), ANSWER)

    assert "/there" not in [path for _, path, _ in server.asked]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_of_a_get_is_followed(server: Server, status: int) -> None:
    assert web.send("GET", f"{server.url}/{status}").status == 200


def test_redirects_in_a_circle_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "urljoin", lambda here, _: here)

    assert web.send("POST", f"{server.url}/307").status == 307


@pytest.mark.parametrize("target", ["http://x/", "ftp://x/", "file:///etc/passwd"])
def test_a_redirect_that_leaves_https_is_not_followed(target: str) -> None:
    import requests

    got = requests.Response()
    got.status_code, got.url = 307, "https://heat/signal"
    got.headers["location"] = target

    assert web._onward("POST", got) is None


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("verb", ["POST", "PUT"])
def test_a_signed_url_that_answers_byte_by_byte_has_a_deadline(server: Server, verb: str) -> None:
    with pytest.raises(signalling.Undelivered, match=r"the signed URL: no whole answer in 0\.5 s"):
        signalling.send(by_url(server, "/drip", verb), ANSWER)


@pytest.mark.usefixtures("hurried")
def test_a_heat_that_answers_byte_by_byte_has_a_deadline(server: Server, tmp_path: Path) -> None:
    server.heat = "drip"
    lines = "".join(f"{name} = {value}\n" for name, value in user(server).items())
    (tmp_path / "conf").write_text(f"[heat]\nstack_id = s\nresource_name = r\n{lines}")

    with pytest.raises(signalling.Undelivered, match="no whole answer"):
        signalling.send(by_heat(server), ANSWER)
    assert metadata.current_ids(tmp_path / "conf") == frozenset()


def test_a_kubelet_that_answers_byte_by_byte_has_a_deadline(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadline, "REQUEST_S", 0.3)
    plain = node.http.client.HTTPConnection  # type: ignore[attr-defined]
    monkeypatch.setattr(
        node.http.client, "HTTPSConnection",  # type: ignore[attr-defined]
        lambda host, port, timeout, context: plain(host, port, timeout=timeout),
    )  # fmt: skip
    monkeypatch.setattr(node.Kubelet, "_tls", lambda _self: None)

    with pytest.raises(node.Unreachable, match=r"no whole answer in 0\.3 s"):
        node.Kubelet(port=server.server.server_address[1])._get("/drip")


def test_os_collect_config_has_a_deadline_for_an_answer_byte_by_byte(server: Server, tmp_path: Path) -> None:
    package = tmp_path / "os_collect_config"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "collect.py").write_text(
        "import requests\n"
        "from heat_config import deadline\n"
        "deadline.REQUEST_S = 0.3\n"
        "def main():\n"
        "    try:\n"
        f"        requests.Session().get('{server.url}/drip', timeout=10)\n"
        "    except requests.exceptions.RequestException as e:\n"
        "        print(type(e).__name__, e)\n"
    )
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}:{FILES}"}
    done = subprocess.run(
        [sys.executable, FILES / "os-collect-config"], env=env, capture_output=True, text=True, check=True,
        timeout=120,
    )  # fmt: skip

    assert done.stdout == "Timeout no whole answer in 0.3 s\n"


def test_an_alarm_from_before_os_collect_config_started_itself_again_is_off(tmp_path: Path) -> None:
    (tmp_path / "os_collect_config").mkdir()
    (tmp_path / "os_collect_config/collect.py").write_text(
        "import signal\ndef main():\n    print(signal.getitimer(signal.ITIMER_REAL))\n"
    )
    again = (
        "import os, signal, sys; signal.setitimer(signal.ITIMER_REAL, 60); os.execv(sys.executable, sys.argv)"
    )
    done = subprocess.run(
        [sys.executable, "-c", again, FILES / "os-collect-config"], capture_output=True, text=True,
        check=True, env={**os.environ, "PYTHONPATH": f"{tmp_path}:{FILES}"},
    )  # fmt: skip

    assert done.stdout == "(0.0, 0.0)\n"


def test_work_that_is_done_in_time_leaves_no_alarm() -> None:
    before = signal.getsignal(signal.SIGALRM)

    with deadline.within(60):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0

    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_an_alarm_that_is_swallowed_comes_again() -> None:
    def swallow() -> None:
        with contextlib.suppress(deadline.Exceeded):
            time.sleep(5)
        time.sleep(5)

    with pytest.raises(deadline.Exceeded), deadline.within(0.05):
        swallow()

    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize("url", ["WaitHandle", "", "file:///etc/passwd", "http://", "http://[", "ftp://x/y"])
def test_what_is_no_url_is_said_and_not_sent(url: str) -> None:
    with pytest.raises(ValueError, match="no URL of http or https"):
        web.send("PUT", url, body="")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:99999/", "http://a:port/", f"http://{'a' * 300}/", "http://*/"]
)
def test_a_url_that_leads_nowhere_is_not_shown(url: str) -> None:
    with pytest.raises(web.Unanswered, match=r"^\w+$"):
        web.send("PUT", url, body="")


def test_why_a_server_is_not_reached_is_said_without_its_url() -> None:
    with pytest.raises(web.Unanswered, match="ConnectionError: Connection refused") as caught:
        web.send("PUT", "http://127.0.0.1:1/?Signature=secret", body="")

    assert "secret" not in str(caught.value)
