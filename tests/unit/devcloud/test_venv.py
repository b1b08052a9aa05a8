# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.devcloud import venv
from goldsmith.errors import HostError


def test_a_python_without_libvirt_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(venv, "PYTHON", python)

    with pytest.raises(HostError, match="has no module libvirt") as e:
        venv._link_libvirt(tmp_path)

    assert e.value.hint == "Debian: apt-get install python3-libvirt"
