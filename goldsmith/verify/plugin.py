# SPDX-License-Identifier: Apache-2.0
"""pytest plugin for the suites that verify an image: fixtures, the marker `needs`, which test starts.

pytest.ini of the suites loads it. The user's own suites get the same fixtures and marker.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from testinfra.backend import BACKENDS

from goldsmith.errors import VerificationError
from goldsmith.spec.model import HeatHook, Into
from goldsmith.verify import channel, started_tests
from goldsmith.verify.expectations import Expectations, spec_of


def _hooks(expected: Expectations) -> tuple[str, ...]:
    agent = expected.info.heat_agent
    return () if agent is None else agent.hooks


# Features that an image may lack. A test marked needs("kubelet") is left out of an image without kubelet;
# the verdict lists it.
_FEATURES: dict[str, Callable[[Expectations], bool]] = {
    "systemd": lambda expected: expected.systemd,
    "kubelet": lambda expected: expected.info.kubelet is not None,
    "containers": lambda expected: bool(expected.images),
    "containers-for-kubelet": lambda expected: any(i.into is Into.containerd for i in expected.images),
    "containers-for-docker": lambda expected: any(i.into is Into.docker for i in expected.images),
    "pods": lambda expected: bool(expected.info.verify.pods),
    "host-networked-pods": lambda expected: any(
        spec_of(pod).get("hostNetwork") for pod in expected.info.verify.pods
    ),
    "heat-agent": lambda expected: HeatHook.script in _hooks(expected),
    "kubelet-hook": lambda expected: HeatHook.kubelet in _hooks(expected),
    "cfn-init-hook": lambda expected: HeatHook.cfn_init in _hooks(expected),
    "docker-cmd-hook": lambda expected: HeatHook.docker_cmd in _hooks(expected),
    "bill": lambda expected: not expected.sbom.error,
    "removals": lambda expected: bool(expected.info.removed),
    "cni-plugins-rule": lambda expected: "cni-plugins" in expected.info.removed,
    "containerd-shims-rule": lambda expected: "containerd-shims" in expected.info.removed,
    "packages": lambda expected: bool(expected.sbom.packages),
    "manifest": lambda expected: expected.manifest is not None,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """--expect FILE: the expectations; --sealed-root FOLDER: the root file system of the offline image."""
    parser.addoption("--expect", type=Path, required=True)
    parser.addoption("--sealed-root", type=Path)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and our connection in the place of testinfra's SSH."""
    BACKENDS["ssh"] = f"{channel.__name__}.{channel.ChannelBackend.__name__}"
    config.addinivalue_line("markers", f"needs(feature, ...): of {', '.join(_FEATURES)}")
    config.addinivalue_line("markers", "late: in the booted VM, after all others of its kind")
    config.addinivalue_line("markers", "once(why): not asked again after the reboot, which cannot change it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests of features that the image does not claim; list them beside the expectations."""
    path = config.getoption("--expect")
    expected = Expectations.read(path, error=VerificationError)
    if expected.phase == "rebooted":
        items[:] = [item for item in items if item.get_closest_marker("once") is None]
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
    fresh.write_text(json.dumps([*known, *(note for note in new if note not in known)]))
    fresh.replace(notes)  # not in place: the file belongs to root if an earlier phase ran with sudo


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> None:
    """With -v, print which test starts: pytest ends its own line when the test does."""
    reporter = item.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and item.config.get_verbosity() > 0:
        tests = item.session.items
        reporter.ensure_newline()
        reporter.write(started_tests.line(tests.index(item) + 1, len(tests), item.nodeid))  # pytest ends it


@pytest.fixture(scope="session")
def expected(request: pytest.FixtureRequest) -> Expectations:
    """The expectations, typed: for the suites of this package."""
    return Expectations.read(request.config.getoption("--expect"), error=VerificationError)


@pytest.fixture(scope="session")
def expect(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The expectations as JSON data: for the user's own suites."""
    path: Path = request.config.getoption("--expect")
    return dict(json.loads(path.read_text()))


@pytest.fixture(scope="session")
def sealed_root(request: pytest.FixtureRequest) -> Path:
    """The root file system of the offline image, mounted read-only."""
    path = request.config.getoption("--sealed-root")
    assert isinstance(path, Path)
    return path


def _needed(item: pytest.Item) -> list[str]:
    return [name for marker in item.iter_markers("needs") for name in marker.args]
