# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.devcloud import config, seed


def test_the_seeds_key_changes_with_what_a_cloud_is_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "folder", lambda: tmp_path)
    (tmp_path / "populate.py").write_text("one")
    first = seed.key(Path("/env-1"), ["keystone"])
    (tmp_path / "populate.py").write_text("two")

    second = seed.key(Path("/env-1"), ["keystone"])

    assert second != first
    assert second != seed.key(Path("/env-2"), ["keystone"])
    assert second != seed.key(Path("/env-1"), ["keystone", "glance"])
