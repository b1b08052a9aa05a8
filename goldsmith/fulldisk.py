# SPDX-License-Identifier: Apache-2.0
"""Tell a full disk as what it is: something that the user can change."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Mapping
from pathlib import Path

from goldsmith.errors import HostError

_CODES = (errno.ENOSPC, errno.EDQUOT)


def raise_if_full(error: OSError, roots: Mapping[Path, str]) -> None:
    """Raise HostError if error comes of a full disk, or of a user's full share of one.

    roots: the folders that we write to, and the variable that moves each; the fullest one is named.
    """
    # shutil.Error has no number of its own: it lists the errors of many files in its text
    if error.errno not in _CODES and not any(f"[Errno {code}]" in str(error) for code in _CODES):
        return
    there = [root for root in roots if root.exists()]
    root = min(there, key=lambda root: shutil.disk_usage(root).free)
    raise HostError(
        f"the disk of {root} is full", hint=f"run: scripts/inv clean, or set {roots[root]} to a larger disk"
    ) from error
