# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import samples


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """The folder of a verified build of the spec mine."""
    return samples.build(tmp_path / "out/mine" / samples.BUILD_ID)
