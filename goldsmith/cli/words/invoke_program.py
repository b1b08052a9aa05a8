# SPDX-License-Identifier: Apache-2.0
"""Invoke's program over our tasks, with our reading of words and our help, and without Invoke's options.

Those would mislead: --dry, for one, does not keep a task of ours from building.
"""

from __future__ import annotations

import invoke.program
from invoke.config import Config
from invoke.exceptions import Exit
from invoke.parser import ParseResult

import goldsmith
from goldsmith.cli import collection, common, tables
from goldsmith.cli.words import help_texts, parsing
from goldsmith.cli.words.parsing import Asked, Call
from goldsmith.errors import SpecError


class Program(invoke.program.Program):
    """The command line: one task for each call."""

    def __init__(self, name: str) -> None:
        super().__init__(
            version=goldsmith.__version__, namespace=collection.namespace, name="goldsmith", binary=name
        )

    def create_config(self) -> None:
        """Without the files of Invoke's that a user or a host may have: no task reads them."""
        self.config = Config(lazy=True)

    def parse_core(self, argv: list[str] | None) -> None:
        """Read all words; answer at once what is no task."""
        self.normalize_argv(argv)
        self.core, words = ParseResult(), self.argv[1:]
        with common.reported(as_json=parsing.wants_json(words)):
            call = parsing.read(words, collection.contexts())
            if call.asked is not Asked.task:
                print(self._answer(call))
                raise Exit
            self.tasks = [call.task]  # type: ignore[assignment] # Invoke only iterates over it

    def _answer(self, call: Call) -> str:
        """To what is no task."""
        if call.asked is Asked.version:
            return f"{self.name} {self.version}"
        if call.asked is Asked.help and call.task:
            task = collection.namespace.tasks[call.task.name]
            return help_texts.of_task(self.binary, task, call.task, tables.width())
        return help_texts.of_program(self.binary, collection.namespace.tasks, tables.width())

    def parse_tasks(self) -> None:
        """Nothing is left to read."""

    def parse_cleanup(self) -> None:
        """Nothing is left to answer."""

    def update_config(self, merge: bool = True) -> None:
        """No option changes the configuration."""
        if merge:
            self.config.merge()


def take_over() -> None:
    """Have the program `invoke` hand over to ours. It loads tasks.py between its own options and the words of
    a task, so this comes in time.
    """
    own = invoke.program.Program.parse_tasks

    def parse_tasks(self: invoke.program.Program) -> None:
        if self.args.complete.value:  # Invoke's own completion
            own(self)
            return
        with common.reported(as_json=parsing.wants_json(self.core.unparsed)):
            if self.args.dry.value:
                raise SpecError(
                    "--dry does not keep a task from running", hint="see: scripts/inv plan --help"
                )
        asked = self.args.help.value
        words = [*(["--help", asked] if isinstance(asked, str) else []), *self.core.unparsed]
        Program("invoke").run([self.argv[0], *words])
        raise Exit

    invoke.program.Program.parse_tasks = parse_tasks  # type: ignore[method-assign]
