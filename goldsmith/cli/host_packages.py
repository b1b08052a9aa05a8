# SPDX-License-Identifier: Apache-2.0
"""Install the host packages that a task needs, as scripts/inv does in a checkout: by the same scripts."""

from __future__ import annotations

import os
from collections.abc import Sequence

from invoke.exceptions import Exit

from goldsmith.core import paths, proc

YES = "--yes"


def provide(words: Sequence[str]) -> list[str]:
    """The words of a command line without a first --yes; the host then has what their task needs.

    Missing packages are listed, and installed with --yes, a yes at the terminal, or CI=true.
    Raises Exit with code 3 if they are still missing, and HostError if there is no bash.
    """
    script = paths.shipped("scripts/host-packages")
    status = proc.interactive(["bash", script, *words], env=dict(os.environ))
    if status:
        raise Exit(code=status)
    return list(words[1:] if words[:1] == [YES] else words)
