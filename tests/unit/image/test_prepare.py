# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from goldsmith.apt.mirror import Mirrors
from goldsmith.host import partitions, preflight
from goldsmith.image import prepare
from goldsmith.spec import load


def test_caches_of_this_hosts_tools_do_not_get_into_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests and editors leave it beside an element's modules; the element's hash does not have it either."""
    monkeypatch.setattr(partitions, "partition_mapper", lambda: "kpartx")
    monkeypatch.setattr(preflight, "has_memory_to_build_in", lambda: False)
    element = tmp_path / "elements/mine"
    (element / "mine-files/__pycache__").mkdir(parents=True)
    (element / "mine-files/tool.py").write_text("print(1)\n")
    (element / "mine-files/__pycache__/tool.cpython-311.pyc").write_bytes(b"\0")
    (element / ".mypy_cache/3.11").mkdir(parents=True)
    shipped = load.load("debian-kubelet")
    loaded = dataclasses.replace(shipped, elements=(tmp_path / "elements", *shipped.elements))
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    prepare.make(
        loaded,
        scratch,
        binary=None,
        bundle=None,
        mirrors=Mirrors(debian="http://a.test", security="http://b.test"),
    )

    copied = sorted(path.name for path in (scratch / "elements/mine").rglob("*"))
    assert copied == ["mine-files", "tool.py"]
