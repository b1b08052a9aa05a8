# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.core import build_folders
from goldsmith.devcloud import instance, lifecycle, start
from goldsmith.errors import HostError
from goldsmith.heat import acceptance, verify


def fail(name: str, options: start.Options) -> None:
    raise HostError("no cloud here")


def test_a_verification_removes_the_leftovers_of_a_killed_one_and_no_other_cloud(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    killed, other = instance.named("verify-1"), instance.named("mine")
    killed.folder.mkdir()
    other.folder.mkdir()
    monkeypatch.setattr(lifecycle, "up", fail)
    monkeypatch.setattr(lifecycle, "down", lambda name: [])
    monkeypatch.setattr(build_folders, "find_build", lambda out, name: tmp_path)

    with pytest.raises(HostError):
        verify.verify(tmp_path, "tiny", cloud="", options=acceptance.Options(flavor="one"))

    assert not killed.folder.exists()
    assert other.folder.exists()


@pytest.mark.parametrize(
    ("options", "has_swift"),
    [
        (acceptance.Options(flavor="one"), False),
        (acceptance.Options(flavor="one", poll_transport="POLL_TEMP_URL"), True),
        (acceptance.Options(flavor="one", signal_transport="TEMP_URL_SIGNAL"), True),
    ],
)
def test_a_cloud_for_temporary_urls_has_swift(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: acceptance.Options, has_swift: bool
) -> None:
    asked: list[start.Options] = []

    def up(name: str, options: start.Options) -> None:
        asked.append(options)
        fail(name, options)

    monkeypatch.setattr(lifecycle, "up", up)
    monkeypatch.setattr(build_folders, "find_build", lambda out, name: tmp_path)

    with pytest.raises(HostError):
        verify.verify(tmp_path, "tiny", cloud="", options=options)
    assert ["swift" in each.services for each in asked] == [has_swift]
