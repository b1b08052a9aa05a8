# SPDX-License-Identifier: Apache-2.0
"""The collection of all tasks, without prefixes, and the options that each one takes."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from invoke.collection import Collection
from invoke.parser.context import ParserContext
from invoke.tasks import Task

from goldsmith.cli import build, devcloud, development, heat, operations, provenance, publish
from goldsmith.core import paths

# What a short option stands for, in every task that has the long one. Nothing that removes or overwrites
# has a short one.
SHORT: Mapping[str, str] = {"build": "b", "cloud": "c", "json": "j", "out": "o", "var": "v"}
IN_A_CHECKOUT = (development,)  # they run programs below tests/, which a wheel does not have


def of(*modules: ModuleType) -> Collection:
    """All tasks of the modules. Raises ValueError where two have the same name.

    The modules import what a task needs only within the task, so that --list and --help answer at once.
    """
    made = Collection()
    for module in modules:
        for value in vars(module).values():
            if isinstance(value, Task):
                if made.transform(value.name) in made.tasks:
                    raise ValueError(f"two tasks are called {value.name}")
                made.add_task(_worded(value))
    return made


def _worded(task: Task[Any]) -> Task[Any]:
    """The task with help texts that name commands and pages as the user of this goldsmith types them."""
    worded = copy.copy(task)
    worded.auto_shortflags = False  # they would depend on the order of a task's options
    worded.__doc__ = paths.as_typed(task.__doc__ or "")
    worded.help = {name: paths.as_typed(text) for name, text in (task.help or {}).items()}
    return worded


def offered() -> Collection:
    """The tasks that can run here."""
    in_a_checkout = IN_A_CHECKOUT if paths.checkout() else ()
    return of(build, publish, operations, provenance, heat, devcloud, *in_a_checkout)


namespace = offered()


@functools.cache
def contexts() -> Mapping[str, ParserContext]:
    """Name of each task -> its words and options. They are shared: copy before you fill them."""
    return {name: _context(name, task) for name, task in namespace.tasks.items()}


def _context(name: str, task: Task[Any]) -> ParserContext:
    texts = dict(task.help)  # Invoke takes them out of the task as it reads them
    arguments = task.get_arguments()
    task.help = texts
    for argument in arguments:
        if short := SHORT.get(argument.names[0]):
            argument.names = (*argument.names, short)
    return ParserContext(name=name, args=arguments)
