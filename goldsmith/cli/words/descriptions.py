# SPDX-License-Identifier: Apache-2.0
"""What the help of a task says besides its docstring and its options: group, example, exit codes."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from invoke.tasks import Task

EXIT_CODES: Mapping[int, str] = MappingProxyType(
    {
        0: "done",
        1: "a bug in goldsmith",
        2: "the spec or the command line is wrong",
        3: "the host lacks something",
        4: "the build failed",
        5: "the test VM did not boot in time, or QEMU died during the tests",
        6: "verification failed",
        7: "publishing failed",
        8: "a cloud or its Heat failed",
        9: "provenance: something is not pinned, not allowed, not signed, or differs from what was signed",
        130: "interrupted",
        141: "the reader of the output ended (| head)",
    }
)
_ALWAYS = (0, 1, 2, 3, 130)
_NO_CODES: Mapping[int, str] = MappingProxyType({})


class Group(enum.Enum):
    """Tasks by what one wants to do. The value is the heading of the list."""

    build = "Build"
    look = "Look: nothing is changed"
    release = "Release"
    provenance = "Provenance"
    cloud = "Cloud: a test cloud on this machine"
    develop = "Develop goldsmith"


@dataclass(frozen=True, slots=True)
class Description:
    """example: the words after the program's name. codes: further exit codes, with what they mean here."""

    group: Group
    example: str
    codes: Mapping[int, str] = field(default_factory=dict)

    def exit_codes(self) -> dict[int, str]:
        """Code -> meaning, of all codes of the task except that of a reader that ended."""
        found = {code: EXIT_CODES[code] for code in _ALWAYS} | dict(self.codes)
        return {code: found[code] for code in sorted(found)}


_described: dict[Task[Any], Description] = {}


def described(
    group: Group, example: str, *codes: int, meaning: Mapping[int, str] = _NO_CODES
) -> Callable[[Task[Any]], Task[Any]]:
    """Describe a task. codes: exit codes besides 0 to 3 and 130; meaning: of codes that differ here."""

    def note(task: Task[Any]) -> Task[Any]:
        own = {code: EXIT_CODES[code] for code in codes}
        _described[task] = Description(group, example, {**own, **meaning})
        return task

    return note


def of(task: Task[Any]) -> Description:
    """The description of a task. Raises KeyError for one without."""
    return _described[task]
