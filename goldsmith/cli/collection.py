# SPDX-License-Identifier: Apache-2.0
"""Collect the tasks of several modules for Invoke, without prefixes."""

from __future__ import annotations

import copy
from types import ModuleType
from typing import Any

from invoke.collection import Collection
from invoke.tasks import Task

from goldsmith.cli import common, parsing
from goldsmith.core import paths


def of(*modules: ModuleType) -> Collection:
    """All tasks of the modules. Raises ValueError where two have the same name.

    The modules import what a task needs only within the task, so that --list and --help answer at once.
    """
    parsing.install({"name": common.DEFAULT_SPEC, "document": ""})
    made = Collection()
    for module in modules:
        for value in vars(module).values():
            if isinstance(value, Task):
                made.add_task(_worded(value))
    return made


def _worded(task: Task[Any]) -> Task[Any]:
    """The task with help texts that name commands and pages as the user of this goldsmith types them."""
    worded = copy.copy(task)
    worded.__doc__ = paths.as_typed(task.__doc__ or "")
    worded.help = {name: paths.as_typed(text) for name, text in (task.help or {}).items()}
    return worded
