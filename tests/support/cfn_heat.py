# SPDX-License-Identifier: Apache-2.0
"""A server that answers as Heat's CloudFormation API does, and takes signals as its wait conditions do."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

ACCESS, SECRET, STACK = "access", "secret", "web"
_HANDLE = "/v1/waitcondition/arn%3Aopenstack%3Aheat%3A%3Ap%3Astacks%2Fweb%2F1%2Fresources%2FWaitHandle"
_KEYS = {"Status", "Reason", "UniqueId", "Data"}  # of a signal to an AWS::CloudFormation::WaitConditionHandle
_NATIVE_KEYS = {"status", "reason", "id", "data"}  # of one to an OS::Heat::WaitConditionHandle


class CfnHeat:
    """A wait condition's handles, of both kinds, and DescribeStackResource with its signature checked."""

    def __init__(self) -> None:
        self.signals: list[dict[str, Any]] = []
        self.metadata: dict[str, Any] = {}  # resource -> its metadata
        self.status = 200  # of requests that are good
        self.drips = False  # answers byte by byte
        self.is_over = threading.Event()
        self.server = _Server(self)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    @property
    def handle(self) -> str:
        """As AWS::CloudFormation::WaitConditionHandle has it."""
        return f"{self.base}{_HANDLE}?SignatureMethod=HmacSHA256&AWSAccessKeyId=k&Signature=sig"

    def end(self) -> None:
        self.is_over.set()
        self.server.shutdown()
        self.server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, heat: CfnHeat) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.heat = heat


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        heat = self.server.heat
        params = dict(parse_qsl(urlsplit(self.path).query))
        signature = params.pop("Signature", "")
        resource = params.get("LogicalResourceId")
        if signature != _signature(self.headers["Host"], urlsplit(self.path).path, params):
            self._answer(403, "SignatureDoesNotMatch")
        elif (params["Action"], params["StackName"]) != ("DescribeStackResource", STACK):
            self._answer(400, "InvalidParameterValue")
        elif resource not in heat.metadata:
            self._answer(404, "the resource could not be found")
        else:
            detail = {"LogicalResourceId": resource, "Metadata": json.dumps(heat.metadata[resource])}
            result = {"DescribeStackResourceResult": {"StackResourceDetail": detail}}
            self._answer(heat.status, json.dumps({"DescribeStackResourceResponse": result}))

    def do_PUT(self) -> None:
        is_json = self.headers.get("Content-Type") in (None, "", "application/json")
        self._take(is_json and "Signature=sig" in self.path, lambda body: set(body) == _KEYS)

    def do_POST(self) -> None:
        self._take(self.headers["X-Auth-Token"] == "token", lambda body: set(body) <= _NATIVE_KEYS)

    def _take(self, is_allowed: bool, has_form: Callable[[dict[str, Any]], bool]) -> None:
        heat = self.server.heat
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        is_good = has_form(body) and (body.get("Status") or body["status"]) in ("SUCCESS", "FAILURE")
        status = (heat.status if is_good else 400) if is_allowed else 403
        if status == 200:
            heat.signals.append(body)
        self._answer(status, "an answer")

    def _answer(self, status: int, text: str) -> None:
        heat = self.server.heat
        self.send_response(status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        while heat.drips and not heat.is_over.wait(0.02):
            self.wfile.write(b" ")
        self.wfile.write(text.encode())

    def log_message(self, *words: object) -> None:
        pass


def _signature(host: str, path: str, params: dict[str, str]) -> str:
    """Version 2 of AWS: https://docs.aws.amazon.com/general/latest/gr/signature-version-2.html"""
    query = "&".join(f"{name}={quote(value, safe='-_.~')}" for name, value in sorted(params.items()))
    text = f"GET\n{host}\n{path}\n{query}"
    return base64.b64encode(hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).digest()).decode()
