# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from goldsmith.errors import BuildError
from goldsmith.layers import comparison


def test_one_build_in_so_many_is_compared() -> None:
    assert not any(comparison.is_due(0) for _ in range(50))
    assert all(comparison.is_due(1) for _ in range(50))
    assert {comparison.is_due(2) for _ in range(200)} == {True, False}


def test_an_exception_has_a_reason_and_fits_the_whole_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "EXCEPTIONS", {r"/boot/grub/.*\.cfg": "it names the file system"})

    assert comparison.excepted("/boot/grub/grub.cfg") == "it names the file system"
    assert comparison.excepted("/boot/grub/grub.cfg.d/x") is None
    assert comparison.excepted("/x/boot/grub/grub.cfg") is None
    comparison.require_same(["/boot/grub/grub.cfg"])


def test_what_differs_is_named_and_a_long_list_is_cut() -> None:
    with pytest.raises(BuildError) as e:
        comparison.require_same([f"/etc/{number:02}" for number in range(25)])

    assert str(e.value).splitlines()[1:] == [*(f"  /etc/{number:02}" for number in range(20)), "  and 5 more"]
