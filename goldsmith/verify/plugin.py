# SPDX-License-Identifier: Apache-2.0
"""pytest plugin of the suites that judge an image: what is expected of it, and which tests apply.

The session loads it with -p; suites of users get the same fixtures and markers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from goldsmith.errors import VerificationError
from goldsmith.spec.model import HeatHook, Into
from goldsmith.verify import expectations
from goldsmith.verify.expectations import Expectations


def _hooks(expected: Expectations) -> tuple[str, ...]:
    agent = expectations.info_of(expected).heat_agent
    return () if agent is None else agent.hooks


# Features that an image may lack: tests marked needs("kubelet") are left out then, and reported.
_FEATURES: dict[str, Callable[[Expectations], bool]] = {
    "systemd": lambda expected: expected.systemd,
    "kubelet": lambda expected: expectations.info_of(expected).kubelet is not None,
    "containers": lambda expected: bool(expected.images),
    "containers-for-kubelet": lambda expected: any(i.into is Into.containerd for i in expected.images),
    "containers-for-docker": lambda expected: any(i.into is Into.docker for i in expected.images),
    "pods": lambda expected: bool(expectations.info_of(expected).verify.pods),
    "heat-agent": lambda expected: HeatHook.script in _hooks(expected),
    "kubelet-hook": lambda expected: HeatHook.kubelet in _hooks(expected),
    "docker-cmd-hook": lambda expected: HeatHook.docker_cmd in _hooks(expected),
    "bill": lambda expected: not expected.sbom["error"],
    "packages": lambda expected: bool(expected.sbom["packages"]),
    "manifest": lambda expected: expected.manifest is not None,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """--expect FILE: the expectations; --sealed-root FOLDER: the root file system of the offline image."""
    parser.addoption("--expect", type=Path, required=True)
    parser.addoption("--sealed-root", type=Path)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", f"needs(feature, ...): of {', '.join(_FEATURES)}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests of what the image does not claim to have, and note that beside the expectations."""
    path = config.getoption("--expect")
    expected = Expectations.read(path, error=VerificationError)
    lacking = {item: [name for name in _needed(item) if not _FEATURES[name](expected)] for item in items}
    out = [item for item in items if lacking[item]]
    if not out:
        return
    items[:] = [item for item in items if not lacking[item]]
    config.hook.pytest_deselected(items=out)
    notes = path.with_name("not-applicable.json")
    known = json.loads(notes.read_text()) if notes.exists() else []
    new = [f"{expected.phase}: {item.name}: the image has no {', '.join(lacking[item])}" for item in out]
    fresh = notes.with_suffix(".new")
    fresh.write_text(json.dumps(known + new))
    fresh.replace(notes)  # not written in place: root's, where an earlier phase ran behind sudo


@pytest.fixture(scope="session")
def expected(request: pytest.FixtureRequest) -> Expectations:
    """What the image is expected to be, typed: for the suites here."""
    return Expectations.read(request.config.getoption("--expect"), error=VerificationError)


@pytest.fixture(scope="session")
def expect(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the image is expected to be, as JSON data: for suites of users."""
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
