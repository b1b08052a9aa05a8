# SPDX-License-Identifier: Apache-2.0
"""The scripts that make shells call words.completion."""

from __future__ import annotations

import shlex
import sys
from difflib import get_close_matches
from pathlib import Path

from goldsmith.core import paths
from goldsmith.errors import SpecError

_NAME = "completion"


def shells() -> list[str]:
    """The shells for which there is a script."""
    return sorted(path.suffix.removeprefix(".") for path in _folder().glob(f"{_NAME}.*sh"))


def text(shell: str) -> str:
    """The script for a shell and the program that is running. Raises SpecError for another shell."""
    if shell not in shells():
        near = get_close_matches(shell, shells(), 1)
        raise SpecError(
            f"there is no completion for {shell!r}",
            hint=f"did you mean {near[0]}?" if near else f"use one of: {', '.join(shells())}",
        )
    script = (_folder() / f"{_NAME}.{shell}").read_text(encoding="utf-8")
    return script.replace("@PROGRAMS@", shlex.join(_programs()))


def _programs() -> list[str]:
    """As they are typed: goldsmith, or scripts/inv of this checkout."""
    checkout, inv = paths.checkout(), "scripts/inv"
    if checkout is None or Path(sys.argv[0]).name == "goldsmith":
        return ["goldsmith"]
    return [inv, f"./{inv}", str(checkout / inv)]


def _folder() -> Path:
    return Path(__file__).parent
