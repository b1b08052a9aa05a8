# SPDX-License-Identifier: Apache-2.0
"""Count the hooks that diskimage-builder runs for a list of elements."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from goldsmith.image import element_hashes

# The phases of disk-image-create, and the names that dib-run-parts runs. Files of environment.d are read.
_PHASES = (
    "root.d", "extra-data.d", "pre-install.d", "install.d", "post-install.d", "post-root.d", "block-device.d",
    "pre-finalise.d", "finalise.d", "cleanup.d",
)  # fmt: skip
_NAME = re.compile(r"[0-9A-Za-z_-]+")


def count(names: Iterable[str], places: Sequence[Path]) -> int:
    """How many hooks these elements and their dependencies have; of the same name, one runs.

    places: folders of elements, besides diskimage-builder's. Raises SpecError if an element is missing.
    """
    found = {
        (phase, hook.name)
        for element in element_hashes.folders(names, places).values()
        for phase in _PHASES
        if (element / phase).is_dir()
        for hook in (element / phase).iterdir()
        if _NAME.fullmatch(hook.name) and hook.is_file() and os.access(hook, os.X_OK)
    }
    return len(found)
