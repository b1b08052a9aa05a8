# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import http.server
import socket
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keystoneauth1.exceptions
import openstack.exceptions
import pytest
import requests.exceptions
import yaml

from goldsmith.core.openstack import connect, names_of, translated
from goldsmith.errors import CloudError

VERSION = b'{"version": {"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": "URL"}]}}'


@pytest.fixture
def keystone() -> Iterator[str]:
    """The address of a Keystone that knows nobody."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, VERSION.replace(b"URL", url.encode()))

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(401, b'{"error": {"message": "The request requires authentication.", "code": 401}}')

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_port}/v3"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield url
        server.shutdown()
        thread.join()


@pytest.mark.filterwarnings("ignore:Support for InfluxDB")  # of the SDK, about its own default
@pytest.mark.parametrize(
    ("kind", "auth", "hint"),
    [
        ("password", {"username": "u", "password": "p", "project_name": "x"}, "check user, password"),
        (
            "v3applicationcredential",
            {"application_credential_id": "a", "application_credential_secret": "s"},
            "make a new application credential",
        ),
        ("v3token", {"token": "t"}, "get a new token"),
    ],
)
def test_a_login_that_a_cloud_rejects_has_the_hint_of_its_kind(
    tmp_path: Path, keystone: str, kind: str, auth: dict[str, str], hint: str
) -> None:
    cloud = {"auth_type": kind, "auth": {"auth_url": keystone, **auth}}
    (tmp_path / "clouds.yaml").write_text(yaml.safe_dump({"clouds": {"mine": cloud}}))

    with pytest.raises(CloudError, match="the cloud mine rejects our login") as e:
        connect("mine", clouds_yaml=tmp_path / "clouds.yaml", error=CloudError)

    assert str(e.value.hint).startswith(hint)
    assert e.value.retryable is False


@pytest.mark.parametrize(
    ("status", "hint", "retryable"),
    [
        (400, "correct the value", False),
        (403, "leave out what is forbidden", False),
        (413, "ask for a larger quota", False),
        (429, None, True),
        (503, None, True),
        (409, None, None),
    ],
)
def test_what_a_cloud_refuses_is_not_tried_again(
    status: int, hint: str | None, retryable: bool | None
) -> None:
    refusal: Any = openstack.exceptions.HttpException("no")
    refusal.status_code = status

    with pytest.raises(CloudError) as e, translated("Glance does not change it"):
        raise refusal

    assert (e.value.hint or "").startswith(hint or "")
    assert (e.value.hint is None) is (hint is None)
    assert e.value.retryable is retryable


def discovery_failure(cause: Exception) -> Exception:
    """As keystoneauth1 makes it of another error: the other one is its context."""
    made: Exception = keystoneauth1.exceptions.DiscoveryFailure("Could not find versioned identity endpoints")
    made.__context__ = cause
    return made


@pytest.mark.parametrize(
    ("cause", "retryable"),
    [
        (ConnectionRefusedError(111, "Connection refused"), True),
        (OSError(errno.EHOSTUNREACH, "No route to host"), True),
        (socket.gaierror(-3, "Temporary failure in name resolution"), True),
        (keystoneauth1.exceptions.ConnectFailure("x"), True),
        (keystoneauth1.exceptions.ConnectTimeout("x"), True),
        (discovery_failure(keystoneauth1.exceptions.ConnectFailure("x")), True),
        (openstack.exceptions.ResourceTimeout("x"), True),
        (requests.exceptions.ChunkedEncodingError("x"), True),
        (requests.exceptions.ReadTimeout("x"), True),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.qcow2"), None),
        (PermissionError(errno.EACCES, "Permission denied", "ca.pem"), None),
        (OSError(errno.ENOSPC, "No space left on device"), None),
        (keystoneauth1.exceptions.MissingRequiredOptions([]), None),
        (keystoneauth1.exceptions.NoMatchingPlugin("v9"), None),
        (openstack.exceptions.ConfigException("clouds.yaml is broken"), None),
        (openstack.exceptions.ConfigException("Cloud mine was not found."), None),
        (keystoneauth1.exceptions.EmptyCatalog("x"), None),
        (keystoneauth1.exceptions.SSLError("certificate verify failed: x"), None),
        (requests.exceptions.SSLError("x"), None),
        (discovery_failure(keystoneauth1.exceptions.SSLError("x")), None),
        (requests.exceptions.InvalidURL("x"), None),
    ],
)
def test_without_a_status_only_a_cloud_that_does_not_answer_may_answer_later(
    cause: Exception, retryable: bool | None
) -> None:
    with pytest.raises(CloudError) as e, translated("it failed"):
        raise cause

    assert e.value.retryable is retryable


def test_user_and_project_are_named_by_the_token_and_nobody_where_there_is_none() -> None:
    def connection(**plugin: Any) -> Any:
        return types.SimpleNamespace(session=types.SimpleNamespace(auth=types.SimpleNamespace(**plugin)))

    token = types.SimpleNamespace(username="alice", project_name="ops")
    unscoped = types.SimpleNamespace(username="alice", project_name=None)

    assert names_of(connection(get_access=lambda _session: token)) == ("alice", "ops")
    assert names_of(connection(get_access=lambda _session: unscoped)) == ("alice", "")
    assert names_of(connection()) == ("", "")  # auth_type none, http_basic
