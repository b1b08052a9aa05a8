# SPDX-License-Identifier: Apache-2.0
"""What publishing is made of besides the plan: builds, records, journal, properties, bodies, notes."""

from __future__ import annotations

import json
from pathlib import Path

from goldsmith.publish import build_diff, records


def test_the_notes_say_what_changed(build: Path) -> None:
    new = records.beside(build)
    assert new is not None
    old = json.loads(json.dumps(new))
    old["manifest"] |= {
        "build_id": "old", "kernels": ["6.0"], "kubelet": {"version": "1.34.1", "source": "go-module"},
        "containers": [{"ref": "a/nginx:1", "digest": f"sha256:{'a' * 64}"}], "elements": {"e": "2" * 64},
    }  # fmt: skip
    new["manifest"]["containers"] = [{"ref": "a/nginx:1", "digest": f"sha256:{'b' * 64}"}]
    old["packages"]["packages"] = [{"name": "bash", "version": "5.1"}, {"name": "dash", "version": "1"}]

    lines = build_diff.between(old, new).text().splitlines()

    assert lines[0] == f"{build.name}, after old"
    assert "    + 6.1" in lines
    assert "    - kubelet 1.34.1 (go-module)" in lines
    assert f"    ~ a/nginx:1 {'a' * 12} -> {'b' * 12}" in lines
    assert "    ~ bash 5.1 -> 5.2" in lines
    assert "    - dash 1" in lines
    assert "    ~ e 222222222222 -> 111111111111" in lines
