# SPDX-License-Identifier: Apache-2.0
"""Results of several clouds."""

from __future__ import annotations

import pytest

from goldsmith.errors import PublishError
from goldsmith.publish import publisher


def test_one_failed_cloud_raises_its_own_error_and_several_a_table() -> None:
    bad = publisher.CloudResult(cloud="a", error=PublishError("a: no room", hint="make some"))
    good = publisher.CloudResult(cloud="b")

    publisher.require([good])
    with pytest.raises(PublishError, match="a: no room") as one:
        publisher.require([bad])
    assert one.value.hint == "make some"
    with pytest.raises(PublishError, match=r"1 of 2 clouds failed\n  \| a +a: no room\n  \| b +done"):
        publisher.require([bad, good])
