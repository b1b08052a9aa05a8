# SPDX-License-Identifier: Apache-2.0
"""What `docker login` stored, for skopeo."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
