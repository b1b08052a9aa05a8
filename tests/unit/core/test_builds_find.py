# SPDX-License-Identifier: Apache-2.0
"""What publishing is made of besides the plan: builds, records, journal, properties, bodies, notes."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.core import builds
from goldsmith.errors import SpecError


def test_no_build_is_said_with_the_next_command(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no verified build of mine") as caught:
        builds.find_build(tmp_path, "mine")
    assert caught.value.hint == "run: scripts/inv build-image mine"
