# SPDX-License-Identifier: Apache-2.0
"""What would harm this host is tried in a room: tests/host_safety."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.core import paths
from tests.support import safe_room

pytestmark = pytest.mark.integration
SAFETY = paths.project_root() / "tests/host_safety"


def test_nothing_of_the_host_is_harmed(tmp_path: Path) -> None:
    ended = safe_room.run(tmp_path, "-m", "pytest", "-v", "-n0", "-p", "no:cacheprovider", str(SAFETY))

    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_outside_of_a_room_these_tests_refuse_to_run() -> None:
    with pytest.raises(AssertionError, match="these tests run in a room alone"):
        safe_room.require()
