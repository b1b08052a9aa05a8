# SPDX-License-Identifier: Apache-2.0
"""A separate checkout for a test, and the variables that pip needs to make its environment."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from goldsmith.core.paths import project_root

_PIP_SETTINGS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT")


def copy_of_the_project(target: Path) -> None:
    """Copy the files that git tracks, as they are in this checkout."""
    here = project_root()
    listed = subprocess.run(
        ["git", "-C", here, "ls-files", "-z"], check=True, capture_output=True, text=True
    ).stdout.split("\0")
    files = [name for name in listed if name and (here / name).is_file()]
    assert "scripts/inv" in files
    for name in files:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(here / name, target / name)


def pip_settings() -> dict[str, str]:
    """The variables of this host that name package sources."""
    return {name: value for name, value in os.environ.items() if name in _PIP_SETTINGS}
