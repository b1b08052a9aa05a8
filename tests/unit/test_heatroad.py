# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith import cloud, cloudplace, heatproof, heatroad
from goldsmith.errors import HostError


def fail(name: str) -> None:
    raise HostError("no cloud here")


def test_a_verification_removes_what_a_killed_one_left_and_no_other_cloud(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    killed, other = cloudplace.place("verify-1"), cloudplace.place("mine")
    killed.folder.mkdir()
    other.folder.mkdir()
    monkeypatch.setattr(cloud, "up", fail)
    monkeypatch.setattr(cloud, "down", lambda name: [])
    monkeypatch.setattr(heatproof, "find_build", lambda out, name: tmp_path)

    with pytest.raises(HostError):
        heatroad.verify(tmp_path, "tiny", cloud="", wishes=heatproof.Wishes(flavor="one"))

    assert not killed.folder.exists()
    assert other.folder.exists()
