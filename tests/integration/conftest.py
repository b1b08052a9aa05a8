# SPDX-License-Identifier: Apache-2.0
"""What the integration tests share: the main job is done once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from inv import inv


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("main job")  # the output may well be in a path with a space


@pytest.fixture(scope="session")
def built(out: Path) -> dict[str, Any]:
    """The answer of `scripts/inv build-image --json` for the default spec."""
    return inv("build-image", out=out)
