# SPDX-License-Identifier: Apache-2.0
"""What a registry's refusals mean, out of what skopeo says of them."""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldsmith.errors import BuildError, CommandError


def host_of(name: str) -> str:
    """The registry of a repository's full name, with its port where it has one."""
    return name.partition("/")[0]


def explain(error: CommandError, name: str, digest: str) -> BuildError:
    """What failed, and what to do. digest: of the image, or a tag behind its colon.

    skopeo tells all its failures by text alone.
    """
    text = "\n".join(error.tail).lower()
    host = host_of(name)
    shown = f"{name}{digest}" if digest.startswith(":") else f"{name}@{digest}"
    for pattern, message, hint in (
        (r"unauthorized|authentication required|access to the resource is denied|\b40[13]\b",
         f"{host} refuses to hand over {shown}", f"run: docker login {host}"),
        (r"did not match|does not match|digest mismatch|digest invalid",
         f"{host} serves something else than {shown}",
         "do not use this registry until its owner has looked at it"),
        (r"manifest unknown|not found|name unknown|\b404\b",
         f"{host} has no image {shown}", "check name and digest in the spec"),
        (r"no such host|connection refused|timeout|unreachable|no route",
         f"{host} cannot be reached", "check the network and the registry's name"),
    ):  # fmt: skip
        if re.search(pattern, text):
            return BuildError(f"{message}\n  | {error.tail[-1]}", hint=hint)
    return error


def is_loopback(host: str) -> bool:
    bare = re.sub(r":\d+$", "", host).strip("[]")
    try:
        return bare == "localhost" or ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


_DOCKER_HUB = "https://index.docker.io/v1/"  # the name that `docker login` stores it under


def credentials(host: str) -> Mapping[str, Any] | None:
    """What `docker login` stored for host, in the form that skopeo reads (containers-auth.json(5))."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        stored = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return None
    keys = (_DOCKER_HUB, "docker.io") if host == "docker.io" else (host, f"https://{host}", f"http://{host}")
    helpers = stored.get("credHelpers", {})
    for key in keys:
        if key in helpers:
            return {"credHelpers": {host: helpers[key]}}
    for key in keys:
        if stored.get("auths", {}).get(key):
            return {"auths": {host: stored["auths"][key]}}
    if any(key in stored.get("auths", {}) for key in keys) and "credsStore" in stored:
        return {"credHelpers": {host: stored["credsStore"]}}
    return None
