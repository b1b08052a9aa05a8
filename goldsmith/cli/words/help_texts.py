# SPDX-License-Identifier: Apache-2.0
"""The help of a task, and the list of all tasks, as text."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from invoke.parser.argument import Argument
from invoke.parser.context import ParserContext, to_flag
from invoke.tasks import Task

from goldsmith.cli import tables
from goldsmith.cli.words import descriptions, parsing, values
from goldsmith.cli.words.descriptions import Group


def of_program(program: str, tasks: Mapping[str, Task[Any]], width: int) -> str:
    """What the program is for, and its tasks in groups."""
    rows = {group: list[tuple[str, str]]() for group in Group}
    for name, task in sorted(tasks.items()):
        rows[descriptions.of(task).group].append((name, values.summary(task)))
    options = [
        (", ".join(parsing.HELP), "show this list; after a task, how to use it: nothing is started"),
        (", ".join(parsing.LIST), "the same list"),
        (", ".join(parsing.VERSION), "show the version"),
    ]
    lines = [f"Usage: {program} TASK [WORD...] [OPTION...]"]
    for group in (group for group in Group if rows[group]):
        lines += ["", group.value, *tables.pairs(rows[group], width)]
    lines += ["", "Options", *tables.pairs(options, width), ""]
    lines += [tables.paragraph(f"{program} TASK --help shows options, an example and exit codes.", width)]
    return "\n".join(lines)


def of_task(program: str, task: Task[Any], context: ParserContext, width: int) -> str:
    """How to use a task."""
    about = descriptions.of(task)
    words = [(_word(a), a.help or "") for a in context.positional_args]
    codes = [(str(code), text) for code, text in about.exit_codes().items()]
    usage = ["Usage:", program, str(context.name), *_usage(context), "[OPTION...]"]
    lines = [tables.paragraph(" ".join(usage), width, indent=len("Usage: ")), ""]
    text = " ".join((inspect.getdoc(task) or "").split()).replace("scripts/inv", program)
    lines += [tables.paragraph(text, width)]
    lines += ["", "Example", *tables.command(f"{program} {about.example}", width)]
    if words:
        as_options = ", ".join(to_flag(a.names[0]) for a in context.positional_args)
        lines += ["", f"Words (or as options: {as_options})", *tables.pairs(words, width)]
    lines += ["", "Options", *tables.pairs(list(_options(context)), width)]
    lines += ["", "Exit codes", *tables.pairs(codes, width)]
    return "\n".join(lines)


def _usage(context: ParserContext) -> Iterator[str]:
    for argument in context.positional_args:
        yield f"[{_word(argument)}]" if parsing.has_default(argument) else _word(argument)


def _word(argument: Argument) -> str:
    return str(argument.names[0]).upper()


def _options(context: ParserContext) -> Iterator[tuple[str, str]]:
    """With their values, in the order of the alphabet."""
    inverse = {long: no for no, long in context.inverse_flags.items()}
    for argument in sorted(context.args.values(), key=lambda each: str(each.names[0])):
        if not argument.positional:
            long, *short = (to_flag(name) for name in argument.names)
            names = (
                ", ".join([*short, inverse.get(long, long)]) if short else f"    {inverse.get(long, long)}"
            )
            yield f"{names}{_value(str(context.name), argument)}", argument.help or ""
    yield ", ".join(parsing.HELP), "show this help; nothing is started"


def _value(task: str, argument: Argument) -> str:
    if not argument.takes_value:
        return ""
    name = values.of(task, argument).name
    return f"[={name}]" if argument.optional else f" {name}"
