# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from goldsmith import cloud, cloudplace, heatproof, heatroad, locks, workspace
from goldsmith.cloudstart import Options
from goldsmith.errors import HostError


def fail(name: str, options: Options) -> None:
    raise HostError("no cloud here")


def test_a_verification_removes_what_a_killed_one_left_and_no_other_cloud(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    killed, other = cloudplace.place("verify-1"), cloudplace.place("mine")
    killed.folder.mkdir()
    other.folder.mkdir()
    monkeypatch.setattr(cloud, "up", fail)
    monkeypatch.setattr(cloud, "down", lambda name: [])
    monkeypatch.setattr(workspace, "find_build", lambda out, name: tmp_path)

    with pytest.raises(HostError):
        heatroad.verify(tmp_path, "tiny", cloud="", wishes=heatproof.Wishes(flavor="one"))

    assert not killed.folder.exists()
    assert other.folder.exists()


@pytest.mark.parametrize(
    ("wishes", "has_swift"),
    [
        (heatproof.Wishes(flavor="one"), False),
        (heatproof.Wishes(flavor="one", poll_transport="POLL_TEMP_URL"), True),
        (heatproof.Wishes(flavor="one", signal_transport="TEMP_URL_SIGNAL"), True),
    ],
)
def test_a_cloud_for_temporary_urls_has_swift(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wishes: heatproof.Wishes, has_swift: bool
) -> None:
    asked: list[Options] = []

    def up(name: str, options: Options) -> None:
        asked.append(options)
        fail(name, options)

    monkeypatch.setattr(cloud, "up", up)
    monkeypatch.setattr(workspace, "find_build", lambda out, name: tmp_path)

    with pytest.raises(HostError):
        heatroad.verify(tmp_path, "tiny", cloud="", wishes=wishes)
    assert ["swift" in options.services for options in asked] == [has_swift]


def test_a_running_cloud_ends_once_whom_it_was_for_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    abandoned, owned, mine = (cloudplace.place(name) for name in ("verify-1", "verify-2", "mine"))
    ended: list[str] = []

    def down(name: str) -> list[str]:
        ended.append(name)
        return [f"removed {name}"]

    monkeypatch.setattr(cloud, "down", down)
    for here in (abandoned, owned, mine):
        here.folder.mkdir()
    abandoned.owner.touch()
    with contextlib.ExitStack() as ends:
        for here in (abandoned, owned, mine):
            ends.enter_context(locks.locked(here.folder / "lock"))  # as process 1 of a cloud does
        ends.enter_context(cloudplace.owned(owned))
        with pytest.raises(HostError, match="in use by another process"), cloudplace.owned(owned):
            pass

        done = cloud.clean_dead()

    assert (done, ended) == (["removed verify-1"], ["verify-1"])
