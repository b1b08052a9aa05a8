# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import types

import pytest

from goldsmith.heat import stacks


def test_a_deleted_stack_has_left_heats_list_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heat does not find it by its name a moment before that."""
    monkeypatch.setattr(stacks, "_POLL_S", 0.001)
    lists = [[types.SimpleNamespace(id="1", name="mine")], []]
    heat = types.SimpleNamespace(
        delete_stack=lambda *_, **__: None, find_stack=lambda *_, **__: None, stacks=lambda: lists.pop(0)
    )

    stacks.Stacks(types.SimpleNamespace(orchestration=heat)).delete("mine", timeout_s=5)

    assert lists == []
