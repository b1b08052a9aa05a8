# SPDX-License-Identifier: Apache-2.0
"""The disk and its container images hold no secret that the spec does not allow."""

from __future__ import annotations

from goldsmith.verify.expectations import Expectations


def test_the_disk_was_looked_at(expected: Expectations) -> None:
    assert not expected.secrets.error


def test_there_is_no_secret(expected: Expectations) -> None:
    assert [f"{f.layer} {f.path}:{f.line} {f.rule}" for f in expected.secrets.findings] == []
