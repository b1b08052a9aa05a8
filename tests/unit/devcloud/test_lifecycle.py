# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import json

import pytest

from goldsmith.core import locks, reaper
from goldsmith.devcloud import answers, instance, lifecycle, namespaces
from goldsmith.devcloud.instance import CloudRecord, Instance
from goldsmith.errors import HostError, SpecError

RECORD = CloudRecord(name="mine", pid=7, venv="/v", ports={"image": 1}, services=("glance",))


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """The process 1 of each cloud that was ended."""
    found: list[int | None] = []

    def end(_cloud: Instance, pid: int | None) -> list[str]:
        found.append(pid)
        return []

    monkeypatch.setattr(namespaces, "end", end)
    return found


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"pid": 7}, "is not a goldsmith.cloud document"),
        ({**RECORD.as_dict(), "version": 2}, "has version 2 of goldsmith.cloud"),
        ({**RECORD.as_dict(), "pid": None}, "pid: expected int"),
        ([], "it is no JSON object"),
        ("{", "no JSON"),
    ],
)
def test_a_cloud_whose_record_is_unusable_can_be_ended(
    here: Instance, ended: list[int | None], record: object, message: str
) -> None:
    with instance.claimed(here):
        here.record.write_text(record if isinstance(record, str) else json.dumps(record))

        with pytest.raises(HostError, match=message) as e:
            lifecycle.status("mine")
        removed = lifecycle.down("mine")

    assert "scripts/inv cloud-down --name mine" in str(e.value.hint)
    assert ended == [None], "its processes are found by their marks"
    assert removed == [f"removed {here.folder}"]


@pytest.mark.parametrize(("found", "pid"), [([7, 8], 7), ([8], None)], ids=["ours", "of a stranger"])
def test_a_running_cloud_is_ended_by_its_process_1(
    here: Instance,
    ended: list[int | None],
    monkeypatch: pytest.MonkeyPatch,
    found: list[int],
    pid: int | None,
) -> None:
    """The process of this number may be another one by now."""
    monkeypatch.setattr(reaper, "processes", lambda folder: found)
    with instance.claimed(here):
        RECORD.write(here.record)
        lifecycle.down("mine")

    assert ended == [pid]


def test_a_running_cloud_ends_once_its_owner_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    abandoned, owned, mine = (instance.named(name) for name in ("verify-1", "verify-2", "mine"))
    ended: list[str] = []

    def down(name: str) -> list[str]:
        ended.append(name)
        return [f"removed {name}"]

    monkeypatch.setattr(lifecycle, "down", down)
    for here in (abandoned, owned, mine):
        with instance.claimed(here):
            pass  # a folder of ours
    abandoned.owner.touch()
    with contextlib.ExitStack() as ends:
        for here in (abandoned, owned, mine):
            ends.enter_context(locks.locked(here.folder / "lock"))  # as process 1 of a cloud does
        ends.enter_context(instance.owned(owned))
        with pytest.raises(HostError, match="in use by another goldsmith process"), instance.owned(owned):
            pass

        done = lifecycle.clean_dead()

    assert (done, ended) == (["removed verify-1"], ["verify-1"])


def test_a_cloud_that_does_not_run_has_this_status() -> None:
    assert lifecycle.status("nobody") == answers.CloudStatus(name="nobody", running=False, services={})
    assert lifecycle.down("nobody") == []


def test_only_what_is_served_can_be_started_or_stopped() -> None:
    with pytest.raises(SpecError, match="cannot stop cinder"):
        lifecycle.service("stop", "cinder", cloud="mine")
    with pytest.raises(SpecError, match="cannot restart heat"):
        lifecycle.service("restart", "heat", cloud="mine")
