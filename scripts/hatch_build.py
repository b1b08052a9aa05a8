# SPDX-License-Identifier: Apache-2.0
"""What pyproject.toml cannot say of a wheel: it has requirements.lock, and no file that git does not know."""

from __future__ import annotations

import re
import subprocess
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_OF_PATTERNS = re.compile(r"([*?\[\]!# \\])")  # that mean something else in an exclude pattern


class GoldsmithWheel(BuildHookInterface):  # type: ignore[misc, type-arg] # installed only to build
    """An editable installation takes all from the checkout as it is."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the lock, for which a folder cannot be mapped; leave out the user's own specs and policies."""
        if version == "editable":
            return
        build_data["force_include"]["requirements.lock"] = "goldsmith/shipped/requirements.lock"
        unknown = self._unknown_to_git()
        if unknown:
            self.app.display_warning(f"left out, as git does not know them: {', '.join(unknown)}")
            excluded = self.build_config.target_config["exclude"]
            patterns = [f"/{_OF_PATTERNS.sub(_escaped, path)}" for path in unknown]
            self.build_config.target_config["exclude"] = [*excluded, *patterns]

    def _unknown_to_git(self) -> list[str]:
        """Paths below the checkout; none where it is no checkout, as in a source distribution."""
        words = ("git", "-C", self.root, "ls-files", "--others", "--exclude-standard", "-z")
        try:
            found = subprocess.run(words, capture_output=True, check=True, timeout=60).stdout
        except (OSError, subprocess.SubprocessError):
            return []
        return sorted(path for path in found.decode(errors="surrogateescape").split("\0") if path)


def _escaped(found: re.Match[str]) -> str:
    return f"\\{found[1]}"
