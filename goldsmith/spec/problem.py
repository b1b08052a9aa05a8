# SPDX-License-Identifier: Apache-2.0
"""Problems of files that users write: file, line, key, message, hint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from goldsmith.core.documents import about


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """What is wrong, where the user wrote it, and what to write instead."""

    file: Annotated[str, about("The file, as messages name it.")]
    line: Annotated[int, about("The line, counted from 1; 0 is the file as a whole.", ge=0)]
    message: Annotated[str, about("What is wrong.")]
    hint: Annotated[str | None, about("What to write instead; null where nothing is known.")] = None
    key: Annotated[
        str | None, about("Dotted path of the key, such as verify.pods[0].kind; null where there is none.")
    ] = None

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.message}" + (f" ({self.hint})" if self.hint else "")


def indented(problems: Iterable[Problem]) -> str:
    """Problems as the lines below the first one of a message."""
    return "".join(f"\n  | {problem}" for problem in problems)
