# SPDX-License-Identifier: Apache-2.0
"""The tasks of several modules as one collection without prefixes, for Invoke."""

from __future__ import annotations

from types import ModuleType

from invoke.collection import Collection
from invoke.tasks import Task

from goldsmith.cli import common


def of(*modules: ModuleType) -> Collection:
    """All tasks that the modules define, each under its own name.

    Raises ValueError where two have one name. Modules import what a task needs within it: --list and
    --help answer at once.
    """
    common.make_optional({"name": common.DEFAULT_SPEC, "document": ""})
    made = Collection()
    for module in modules:
        for value in vars(module).values():
            if isinstance(value, Task):
                made.add_task(value)
    return made
