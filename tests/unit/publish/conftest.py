# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import documents


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """The folder of a verified build of the spec mine."""
    return documents.build(tmp_path / "out/mine" / documents.BUILD_ID)
