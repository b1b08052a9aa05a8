# SPDX-License-Identifier: Apache-2.0
"""The command goldsmith; `python -m goldsmith.cli.program` is what scripts/inv runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from goldsmith.cli.words import completion

if TYPE_CHECKING:
    from invoke.collection import Collection


def main(name: str = "goldsmith") -> None:
    """Run the task that sys.argv names. name: of this program, for help texts and hints."""
    if sys.argv[1:2] == [completion.OPTION]:
        sys.exit(completion.main(sys.argv[2:]))
    from goldsmith.cli.words.invoke_program import Program  # takes some 0.3 s, too long for a Tab

    Program(name).run(sys.argv)


def for_invoke() -> Collection:
    """The tasks, for the program `invoke`, which from then on hands over to this one."""
    from goldsmith.cli import collection
    from goldsmith.cli.words import invoke_program

    invoke_program.take_over()
    return collection.namespace


if __name__ == "__main__":
    main("scripts/inv")
