# SPDX-License-Identifier: Apache-2.0
"""The node: its kubelet's API (loopback, client certificate) and its images."""

from __future__ import annotations

import http.client
import json
import re
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from heat_config import deadline

_TIMEOUT_S = 20
_LOG_LINES = 10

T = TypeVar("T")


class Unreachable(Exception):
    """The kubelet or containerd does not respond: it may be restarting."""


class Node(Protocol):
    """The part of a node that the hook uses."""

    def pods(self) -> list[dict[str, Any]]:
        """The pods and their states from /pods. Raises Unreachable."""

    def running(self) -> set[str]:
        """UIDs of the pods with running containers, including ending pods. Raises Unreachable."""

    def stats(self) -> dict[str, Any]:
        """The response of /stats/summary. Raises Unreachable."""

    def log(self, namespace: str, pod: str, container: str) -> str:
        """The last lines of a container's output, empty if there are none."""

    def said_of(self, file: str) -> str:
        """The last line of the kubelet's log that names a manifest's file, empty if there is none."""

    def images(self) -> set[str]:
        """Every name of every image in the store. Raises Unreachable."""


class Kubelet:
    """The node that this program runs on.

    The API: https://kubernetes.io/docs/reference/node/kubelet-checkpoint-api/ and pkg/kubelet/server.
    """

    def __init__(self, pki: Path = Path("/etc/kubernetes/pki"), port: int = 10250) -> None:
        self._pki, self._port = pki, port
        self._connection: http.client.HTTPSConnection | None = None

    def pods(self) -> list[dict[str, Any]]:
        return list(json.loads(self._get("/pods")).get("items") or [])

    def running(self) -> set[str]:
        items = json.loads(self._get("/runningpods/")).get("items") or []
        return {pod["metadata"]["uid"] for pod in items}

    def stats(self) -> dict[str, Any]:
        return dict(json.loads(self._get("/stats/summary")))

    def log(self, namespace: str, pod: str, container: str) -> str:
        path = "/".join(quote(part, safe="") for part in (namespace, pod, container))
        try:
            return self._get(f"/containerLogs/{path}?tailLines={_LOG_LINES}").decode(errors="replace")
        except Unreachable:
            return ""

    def said_of(self, file: str) -> str:
        argv = ["journalctl", "--unit=kubelet", "--output=cat", "--lines=1", f"--grep={re.escape(file)}"]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
        except (OSError, subprocess.SubprocessError):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    def images(self) -> set[str]:
        argv = ["ctr", "--namespace", "k8s.io", "images", "list", "--quiet"]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
        except (OSError, subprocess.SubprocessError) as e:
            raise Unreachable(f"containerd does not answer: {e}") from e
        return set(done.stdout.split())

    def _get(self, path: str) -> bytes:
        try:
            if self._connection is None:
                self._connection = http.client.HTTPSConnection(
                    "127.0.0.1", self._port, timeout=_TIMEOUT_S, context=self._tls()
                )
            with deadline.within(deadline.REQUEST_S):
                self._connection.request("GET", path)
                answer = self._connection.getresponse()
                body = answer.read()
        except (OSError, http.client.HTTPException, deadline.Exceeded) as e:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            raise Unreachable(f"the kubelet does not answer: {e}") from e
        if answer.status != 200:
            raise Unreachable(f"the kubelet answers {answer.status} to {path}")
        return body

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self._pki / "ca.crt"))
        context.load_cert_chain(self._pki / "client.crt", self._pki / "client.key")
        return context


def patiently(ask: Callable[[], T], *, timeout_s: float) -> T:
    """The result of ask(); waits while the kubelet or containerd restarts. Raises Unreachable."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return ask()
        except Unreachable:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
