# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from goldsmith.devcloud import instance
from goldsmith.devcloud.instance import CloudRecord, Instance
from goldsmith.errors import HostError, SpecError


@pytest.mark.parametrize("name", ["", "A", "1a", "a b", "../x", "a" * 22])
def test_an_invalid_name_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match="is no valid name for a cloud"):
        instance.named(name)


def test_a_cloud_is_live_for_as_long_as_its_lock_is_held(here: Instance) -> None:
    with instance.claimed(here) as lock:
        inherited = os.dup(lock)
        with pytest.raises(HostError, match="the cloud mine runs already"), instance.claimed(here):
            pass
    assert here.is_live(), "its process 1 has inherited the lock"

    os.close(inherited)

    assert not here.is_live()
    with pytest.raises(HostError, match="the cloud mine does not run"):
        here.read()


def test_logs_databases_and_consoles_are_kept(here: Instance, tmp_path: Path) -> None:
    sources = {
        here.log_of("heat"): "heat.log", here.state / "db/heat.db": "heat.db",
        here.state / "nova/instances/a1/console.log": "console-a1.log",
    }  # fmt: skip
    for path in (*sources, here.state / "secrets.json"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)

    here.keep(tmp_path / "kept")
    here.keep(tmp_path / "kept")

    assert {path.name: path.read_text() for path in (tmp_path / "kept").iterdir()} == {
        name: path.name for path, name in sources.items()
    }


RECORD = CloudRecord(name="mine", pid=7, venv="/v", ports={"image": 1}, services=("glance",))


def test_a_record_is_read_while_the_cloud_is_live(here: Instance) -> None:
    with instance.claimed(here):
        RECORD.write(here.record)

        assert here.read() == RECORD


def test_a_record_from_before_durable_clouds_is_read(here: Instance) -> None:
    data = RECORD.as_dict()
    del data["durable"]
    with instance.claimed(here):
        here.record.write_text(json.dumps(data))

        assert here.read() == RECORD
