# SPDX-License-Identifier: Apache-2.0
"""What the tests of the test cloud share."""

from __future__ import annotations

import pytest

from goldsmith.devcloud import instance
from goldsmith.devcloud.instance import Instance


@pytest.fixture
def here() -> Instance:
    cloud = instance.named("mine")
    with instance.claimed(cloud):
        cloud.state.mkdir()
    return cloud
