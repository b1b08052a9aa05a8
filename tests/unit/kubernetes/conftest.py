# SPDX-License-Identifier: Apache-2.0
"""A fake Go and a small Go module, for the tests of the kubelet and of its pin."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.kubernetes import go_toolchain
from goldsmith.kubernetes.pin import PACKAGE
from tests.support.fake_go import FAKE_GO, UPSTREAM


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the only Go of this host."""
    monkeypatch.setattr(go_toolchain, "_ELSEWHERE", ())
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setenv("GOLDSMITH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "go"
    folder.mkdir()
    (folder / "go").write_text(FAKE_GO.format(folder=folder))
    (folder / "go").chmod(0o755)
    (folder / "version").write_text("go version go1.26.1 linux/amd64\n")
    (folder / "prints").write_text("Kubernetes v1.35.4")
    (folder / "made-from").write_text("v1.35.4")
    (folder / "upstream").write_text(UPSTREAM)
    (folder / "deps").write_text(f"x.test/m\n{PACKAGE}\n")
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def module(tmp_path: Path) -> Path:
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "go.mod").write_text("module kubelet\n\ngo 1.25.0\n\nrequire k8s.io/kubernetes v1.35.4\n")
    (folder / "go.sum").write_text("sums\n")
    (folder / "tools.go").write_text("package tools\n")
    pin = go_toolchain.Pin(version="1.26.10", sums={"amd64": "h1:a=", "arm64": "h1:b="})
    (folder / go_toolchain.PIN_FILE).write_bytes(pin.to_json())
    return folder
