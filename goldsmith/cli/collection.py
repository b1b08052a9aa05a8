# SPDX-License-Identifier: Apache-2.0
"""Collect the tasks of several modules for Invoke, without prefixes."""

from __future__ import annotations

from types import ModuleType

from invoke.collection import Collection
from invoke.tasks import Task

from goldsmith.cli import common, parsing


def of(*modules: ModuleType) -> Collection:
    """All tasks of the modules. Raises ValueError where two have the same name.

    The modules import what a task needs only within the task, so that --list and --help answer at once.
    """
    parsing.install({"name": common.DEFAULT_SPEC, "document": "", "old": "", "new": ""})
    made = Collection()
    for module in modules:
        for value in vars(module).values():
            if isinstance(value, Task):
                made.add_task(value)
    return made
