# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goldsmith.host import accelerator
from tests.bench import proof


def test_the_bare_boots_are_a_boot_a_shutdown_and_a_boot_of_one_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    class Guest:
        def reboot(self, *, timeout_s: float) -> None:
            calls.append("shutdown")

    class Machine:
        def __init__(self, image: Path, _scratch: Path, **_settings: Any) -> None:
            calls.append(f"machine of {image.name}")

        @contextlib.contextmanager
        def powered_on(self) -> Iterator[str]:
            calls.append("on")
            yield "vm"
            calls.append("off")

        def booted(self, vm: str, *, deadline_s: float) -> Guest:
            assert (vm, deadline_s > 0) == ("vm", True)
            calls.append("answers")
            return Guest()

    monkeypatch.setattr(proof, "Machine", Machine)
    found = accelerator.ProbeResult(name="tcg", args=("-accel", "tcg"), slowness=2.0, note="")
    monkeypatch.setattr(accelerator, "find", lambda **_log: found)

    assert proof.two_boots(Path("x.qcow2"), tmp_path) >= 0
    assert calls == ["machine of x.qcow2", "on", "answers", "shutdown", "off", "on", "answers", "off"]
