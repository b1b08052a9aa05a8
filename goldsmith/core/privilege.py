# SPDX-License-Identifier: Apache-2.0
"""Root privilege: check for it, and run commands with it, through sudo where necessary."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from goldsmith.core import proc
from goldsmith.core.proc import Arg
from goldsmith.errors import CommandError, HostError


def can_be_root() -> bool:
    """We are root, or sudo works without a password."""
    with contextlib.suppress(CommandError, HostError):
        return os.geteuid() == 0 or proc.capture(("sudo", "-n", "true")) == ""
    return False


def require_root(what: str, *, otherwise: str) -> None:
    """Raise HostError unless can_be_root(). what: the action that needs root; otherwise: an alternative."""
    if not can_be_root():
        raise HostError(f"{what} needs root", hint=f"{otherwise}, or run: sudo -v, then try again")


def as_root(argv: Sequence[Arg]) -> tuple[Arg, ...]:
    """argv for root; behind `sudo -n`, which keeps the run's marker, for other users."""
    if os.geteuid() == 0:
        return tuple(argv)
    keep = [f"{name}={value}" for name, value in proc.mark().items()]
    return ("sudo", "-n", *(("env", *keep) if keep else ()), *argv)
