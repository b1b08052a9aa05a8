# SPDX-License-Identifier: Apache-2.0
"""Whether what has to be done as root can be: proc.as_root() does it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from goldsmith.core import proc
from goldsmith.core.proc import Arg
from goldsmith.errors import CommandError, HostError


def can_be_root() -> bool:
    """We are root, or sudo takes us for it without a question."""
    with contextlib.suppress(CommandError, HostError):
        return os.geteuid() == 0 or proc.capture(("sudo", "-n", "true")) == ""
    return False


def require_root(what: str, *, otherwise: str) -> None:
    """Raise HostError, saying that what needs root, unless that works."""
    if not can_be_root():
        raise HostError(f"{what} needs root", hint=f"{otherwise}, or run: sudo -v, and then again")


def as_root(argv: Sequence[Arg]) -> tuple[Arg, ...]:
    """argv as it is for root, else behind a sudo that never asks and that keeps the run's marker."""
    if os.geteuid() == 0:
        return tuple(argv)
    keep = [f"{name}={value}" for name, value in proc.mark().items()]
    return ("sudo", "-n", *(("env", *keep) if keep else ()), *argv)
