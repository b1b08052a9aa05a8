# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.core import proc
from goldsmith.devcloud import start
from goldsmith.devcloud.instance import Instance
from goldsmith.devcloud.namespaces import Namespaces
from goldsmith.errors import HostError


def test_a_helper_that_ended_is_reported_with_the_end_of_its_log(here: Instance) -> None:
    log = here.log_of("dhcp")
    log.parent.mkdir(parents=True, exist_ok=True)
    inside = Namespaces(cloud=here, pid=1, venv=Path("/venv"))
    fails = ["sh", "-c", "echo bad option at line 3; exit 1"]
    with (
        proc.background(["sh", "-c", "sleep 60"], log_path=here.log_of("libvirtd")) as lives,
        proc.background(fails, log_path=log) as dead,
    ):
        start.require_running(inside, {"libvirtd": lives})
        dead.wait()

        with pytest.raises(
            HostError, match=r"dhcp ended as soon as it was started\n  \| bad option at line 3"
        ):
            start.require_running(inside, {"libvirtd": lives, "dhcp": dead})
