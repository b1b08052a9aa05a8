# SPDX-License-Identifier: Apache-2.0
"""Run a program below tests/: errors become a message and an exit code, as in a task."""

from __future__ import annotations

import sys
from collections.abc import Callable

from invoke.exceptions import Exit

from goldsmith.cli import common


def run(work: Callable[[], object], *, as_json: bool = False) -> None:
    """Do the work; exit with 0, or with the code of the error that it raises."""
    try:
        with common.reported(as_json=as_json):
            work()
    except Exit as e:
        sys.stderr.write(f"{e.message}\n")
        sys.exit(e.code)
