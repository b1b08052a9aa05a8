# SPDX-License-Identifier: Apache-2.0
"""pytest plugin of the suites that judge an image: what is expected of it, and which tests apply.

Loaded by verify.py with -p; a suite of the user's own gets the same fixtures and markers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def _hooks(expect: dict[str, Any]) -> list[str]:
    return list(((expect["build"] or {}).get("heat_agent") or {}).get("hooks", ()))


# A feature that an image may lack: tests marked needs("kubelet") are left out where it does, and said.
_FEATURES: dict[str, Callable[[dict[str, Any]], bool]] = {
    "systemd": lambda expect: bool(expect["systemd"]),
    "kubelet": lambda expect: bool((expect["build"] or {}).get("kubelet")),
    "containers": lambda expect: bool(expect["images"]),
    "containers-for-kubelet": lambda expect: any(i["into"] == "containerd" for i in expect["images"]),
    "containers-for-docker": lambda expect: any(i["into"] == "docker" for i in expect["images"]),
    "pods": lambda expect: bool((expect["build"] or {}).get("verify", {}).get("pods")),
    "heat-agent": lambda expect: "script" in _hooks(expect),
    "kubelet-hook": lambda expect: "kubelet" in _hooks(expect),
    "docker-cmd-hook": lambda expect: "docker-cmd" in _hooks(expect),
    "bill": lambda expect: not expect["sbom"]["error"],
    "packages": lambda expect: bool(expect["sbom"]["packages"]),
    "manifest": lambda expect: expect["manifest"] is not None,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """--expect FILE: what verify.py expects; --sealed-root FOLDER: the unbooted root file system."""
    parser.addoption("--expect", type=Path, required=True)
    parser.addoption("--sealed-root", type=Path)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", f"needs(feature, ...): of {', '.join(_FEATURES)}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the image does not claim to have, and note that beside the expectations."""
    path = config.getoption("--expect")
    expect = json.loads(path.read_text())
    lacking = {item: [name for name in _needed(item) if not _FEATURES[name](expect)] for item in items}
    out = [item for item in items if lacking[item]]
    if not out:
        return
    items[:] = [item for item in items if not lacking[item]]
    config.hook.pytest_deselected(items=out)
    notes = path.with_name("not-applicable.json")
    known = json.loads(notes.read_text()) if notes.exists() else []
    new = [f"{expect['phase']}: {item.name}: the image has no {', '.join(lacking[item])}" for item in out]
    fresh = notes.with_suffix(".new")
    fresh.write_text(json.dumps(known + new))
    fresh.replace(notes)  # not written in place: root's, where an earlier phase ran behind sudo


@pytest.fixture(scope="session")
def expect(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the image is expected to be: build (its own build.json), manifest, images, nics, phase ..."""
    path: Path = request.config.getoption("--expect")
    return dict(json.loads(path.read_text()))


@pytest.fixture(scope="session")
def sealed_root(request: pytest.FixtureRequest) -> Path:
    """The root file system of the unbooted image, read-only."""
    path = request.config.getoption("--sealed-root")
    assert isinstance(path, Path)
    return path


def _needed(item: pytest.Item) -> list[str]:
    return [name for marker in item.iter_markers("needs") for name in marker.args]
