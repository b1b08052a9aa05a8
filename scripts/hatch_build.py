# SPDX-License-Identifier: Apache-2.0
"""Put requirements.lock into a wheel; pyproject.toml can map folders there, but no single file."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RequirementsLock(BuildHookInterface):  # type: ignore[misc, type-arg] # installed only to build
    """An editable installation takes it from the checkout, as it takes all else."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file to the wheel."""
        if version != "editable":
            build_data["force_include"]["requirements.lock"] = "goldsmith/shipped/requirements.lock"
