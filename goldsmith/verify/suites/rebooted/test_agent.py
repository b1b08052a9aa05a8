# SPDX-License-Identifier: Apache-2.0
"""After a reboot, Heat's agent starts with the machine where it has metadata, and repeats no deployment."""

from __future__ import annotations

from collections.abc import Iterator

import local_metadata
import pytest
from guest import wait_for
from testinfra.host import Host

from goldsmith.verify.expectations import Expectations

pytestmark = pytest.mark.needs("heat-agent")


@pytest.fixture(autouse=True)
def no_agent_afterwards(host: Host) -> Iterator[None]:
    """The agent has no more to do."""
    yield
    local_metadata.take_away(host)


def test_agent_looks_for_metadata_and_runs_no_deployment_again(host: Host, expected: Expectations) -> None:
    looked = "heat_local] Unavailable"  # at the beginning of each look for metadata: the first one has ended
    polled = wait_for(lambda: local_metadata.log(host).count(looked) > 1, 60 * expected.slowness)

    log = local_metadata.log(host)
    assert polled, log
    assert local_metadata.trace(host) == "once", log
