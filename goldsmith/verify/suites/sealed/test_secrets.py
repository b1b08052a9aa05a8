# SPDX-License-Identifier: Apache-2.0
"""Nothing in the disk or in its container images looks like a secret, but for what its spec allows."""

from __future__ import annotations

from typing import Any


def test_the_disk_was_looked_at(expect: dict[str, Any]) -> None:
    assert not expect["secrets"]["error"]


def test_there_is_no_secret(expect: dict[str, Any]) -> None:
    assert [f"{f['layer']} {f['path']}:{f['line']} {f['rule']}" for f in expect["secrets"]["findings"]] == []
