# SPDX-License-Identifier: Apache-2.0
"""Locks and what moved, as a person or a program reads them."""

from __future__ import annotations

from collections.abc import Sequence

from goldsmith import cli, lockfile
from goldsmith.lockfile import Move


def show_moves(moved: Sequence[Move], schema: str, *, as_json: bool, path: str = "") -> None:
    """The table of moves, or JSON; path: the lock that was written."""
    if as_json:
        answer = {"moved": [move.as_dict() for move in moved]} | ({"path": path} if path else {})
        cli.print_json(schema, answer)
        return
    print(lockfile.table(tuple(moved)) if moved else "nothing moved")
    if path:
        print(path)
