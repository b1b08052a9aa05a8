# SPDX-License-Identifier: Apache-2.0
"""A spec of another shape than the shipped ones: no Heat agent, two bridged pods, one with a host port."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.soak import shapes
from tests.support.inv import inv

pytestmark = pytest.mark.integration


def test_two_bridged_pods_without_an_agent_are_verified(tmp_path: Path) -> None:
    spec = next(path for path in shapes.SPECS if path.name.startswith("no-agent."))

    built = inv("build-image", str(spec), out=tmp_path / "out")

    verified = built["manifest"]["verification"]
    left_out = "\n".join(verified["not_applicable"])
    names = _tests_of(Path(built["folder"]) / "junit.xml", "booted")
    assert (verified["result"], verified["skipped"]) == ("passed", [])
    assert {
        "test_host_port_is_reached_from_outside_the_vm",
        "test_pods_reach_each_other_and_the_host",
    } <= names
    assert "test_pods_resolve_names_and_reach_the_outer_world" in names
    assert "agent" in left_out
    assert "test_networks" not in left_out


def _tests_of(report: Path, phase: str) -> set[str]:
    suites = ET.parse(report).getroot().iter("testsuite")  # noqa: S314 - written by our pytest
    return {
        str(case.get("name"))
        for suite in suites
        if suite.get("name") == phase
        for case in suite.iter("testcase")
    }
