# SPDX-License-Identifier: Apache-2.0
"""Failures of deployments with NO_SIGNAL: said in the journal, on the console, and by the next signal."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_LOG = logging.getLogger("heat-config")


def line(name: str, group: str, answer: Mapping[str, Any], why: str) -> str:
    """Text about a failure that Heat is not told; empty if the deployment succeeded. why: may be empty."""
    status = answer.get("deploy_status_code")
    if status in (0, "0", None):
        return ""
    told = f"failed with status {status}, and Heat is not told (NO_SIGNAL)"
    said = f"deployment {name} of group {group!r} {told}{': ' if why else ''}{why}"
    return "".join(c if c.isprintable() else " " for c in said)


def announce(text: str, console: Path) -> None:
    """Log it, and write it to the console, which `openstack console log show` reads."""
    _LOG.error("%s", text)
    with contextlib.suppress(OSError):
        terminal = os.open(console, os.O_WRONLY | os.O_APPEND | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            os.write(terminal, f"heat-config: {text}\r\n".encode())
        finally:
            os.close(terminal)


def added(answer: Mapping[str, Any], lines: Iterable[str]) -> dict[str, Any]:
    """The answer of another deployment, whose stderr tells of these failures too."""
    said = answer.get("deploy_stderr") or ""
    told = "".join(f"heat-config: also on this server: {line}\n" for line in lines)
    between = "\n" if said and told and not str(said).endswith("\n") else ""
    return {**answer, "deploy_stderr": f"{said}{between}{told}"} if told else dict(answer)
