# SPDX-License-Identifier: Apache-2.0
"""Differences between two builds."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from goldsmith.publish import build_diff, records
from tests.support import samples


def package(name: str, version: str) -> dict[str, Any]:
    return {"name": name, "version": version, "architecture": "amd64", "sha256": "b" * 64, "suite": "trixie"}


def test_release_notes_list_what_changed(build: Path) -> None:
    beside = records.beside(build)
    assert beside is not None
    web = samples.image("a/nginx:1", digest=f"sha256:{'b' * 64}")
    new = dataclasses.replace(beside, manifest={**beside.manifest, "containers": [web]})
    changed = {
        "build_id": "old", "kernels": ["6.0"],
        "kubelet": {"version": "1.34.1", "source": "go-module", "sha256": "a" * 64, "provenance": {}},
        "containers": [{**web, "digest": f"sha256:{'a' * 64}"}], "elements": {"e": "2" * 64},
    }  # fmt: skip
    packages = samples.packages(package("bash", "5.1"), package("dash", "1"))
    old = dataclasses.replace(new, manifest={**new.manifest, **changed}, packages=packages)

    diff = build_diff.between(old, new)

    lines = diff.text().splitlines()
    assert lines[0] == f"{build.name}, after old"
    assert "    + 6.1" in lines
    assert "    - kubelet 1.34.1 (go-module)" in lines
    assert f"    ~ a/nginx:1 {'a' * 12} -> {'b' * 12}" in lines
    assert "    ~ bash 5.1 -> 5.2" in lines
    assert "    - dash 1" in lines
    assert f"    ~ e {'2' * 12} -> {'1' * 12}" in lines
    answer = build_diff.answer(diff).as_dict()
    assert answer.keys() == {"schema", "version", "old", "new", "size", "changes"}
    assert answer["changes"]["elements"] == [{"name": "e", "old": "2" * 64, "new": "1" * 64}]
    assert answer["changes"]["kernel"] == [
        {"name": "6.0", "old": "6.0", "new": None}, {"name": "6.1", "old": None, "new": "6.1"},
    ]  # fmt: skip
    assert answer["size"] == {"old": len(samples.DISK), "new": len(samples.DISK)}


def test_builds_without_differences(build: Path) -> None:
    beside = records.beside(build)
    assert beside is not None

    assert "  no differences" in build_diff.between(beside, beside).text().splitlines()
