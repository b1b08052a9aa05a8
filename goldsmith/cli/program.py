# SPDX-License-Identifier: Apache-2.0
"""The command goldsmith: Invoke over the tasks, after a look at what they need of the host."""

from __future__ import annotations

import sys

from invoke.exceptions import Exit
from invoke.program import Program

import goldsmith
from goldsmith.cli import common, host_packages, tasks


def main() -> None:
    """Run the command line of this process."""
    try:
        with common.reported():
            words = host_packages.provide(sys.argv[1:])
    except Exit as e:
        sys.stderr.write(f"{e}\n" if str(e) else "")
        sys.exit(e.code)
    program = Program(
        name="goldsmith", binary="goldsmith", version=goldsmith.__version__, namespace=tasks.namespace
    )
    program.run(["goldsmith", *words])
