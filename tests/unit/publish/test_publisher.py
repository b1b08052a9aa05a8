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
    with pytest.raises(PublishError, match=r"failed\n  \| a +a: no room \(make some\)\n  \| b +done"):
        publisher.require([bad, good])


@pytest.mark.parametrize(
    ("verdicts", "hint", "retryable"),
    [
        ((True, True), "run this again when they answer", True),
        ((True, False), "correct what each cloud names", False),
        ((None, True), "correct what each cloud names", None),
    ],
)
def test_clouds_that_refuse_are_not_only_asked_again(
    verdicts: tuple[bool | None, ...], hint: str, retryable: bool | None
) -> None:
    errors = [PublishError("refused", retryable=verdict) for verdict in verdicts]

    with pytest.raises(PublishError) as e:
        publisher.require([publisher.CloudResult(cloud="a", error=error) for error in errors])

    assert hint in str(e.value.hint)
    assert e.value.retryable is retryable
