# SPDX-License-Identifier: Apache-2.0
"""The command goldsmith; `python -m goldsmith.cli.program` is what scripts/inv runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from goldsmith.cli.words import completion

if TYPE_CHECKING:
    from collections.abc import Callable

    from invoke.collection import Collection


def main() -> None:
    """Run the command line of this process, after a look at what it needs of the host."""
    _run("goldsmith", _provided)


def for_invoke() -> Collection:
    """The tasks, for the program `invoke`, which from then on hands over to this one."""
    from goldsmith.cli import collection
    from goldsmith.cli.words import invoke_program

    invoke_program.take_over()
    return collection.namespace


def _run(name: str, provide: Callable[[list[str]], list[str]]) -> None:
    words = sys.argv[1:]
    if words[:1] == [completion.OPTION]:
        sys.exit(completion.main(words[1:]))
    words = provide(words)
    from goldsmith.cli.words.invoke_program import Program  # takes some 0.3 s, too long for a Tab

    Program(name).run([name, *words])


def _provided(words: list[str]) -> list[str]:
    from invoke.exceptions import Exit

    from goldsmith.cli import common, host_packages
    from goldsmith.cli.words import parsing

    try:
        with common.reported(as_json=parsing.wants_json(words)):
            return host_packages.provide(words)
    except Exit as e:
        sys.stderr.write(f"{e}\n" if str(e) else "")
        sys.exit(e.code)


if __name__ == "__main__":
    _run("scripts/inv", list)  # which has looked already
