# SPDX-License-Identifier: Apache-2.0
"""The specs of `soak shapes` are valid, and as many as they should be."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.kubernetes import pod_check
from goldsmith.spec import load
from tests.soak import shapes


def test_there_are_eight() -> None:
    assert len(shapes.SPECS) == 8


@pytest.mark.parametrize("spec", shapes.SPECS, ids=lambda spec: str(spec.name))
def test_each_is_a_valid_spec(spec: Path) -> None:
    loaded = load.load(str(spec))

    assert pod_check.check(loaded, None)
    assert loaded.spec.name == spec.name.partition(".")[0]
