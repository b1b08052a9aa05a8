# SPDX-License-Identifier: Apache-2.0
"""The pods that the suites bring along."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
from testinfra.host import Host

booted = importlib.import_module("goldsmith.verify.suites.booted.conftest")
SPECS_POD = ("default", "web")


class Guest:
    """A VM whose kubelet reports the next of these lists of pods each time."""

    def __init__(self, *reports: list[dict[str, Any]]) -> None:
        self._reports: Iterator[list[dict[str, Any]]] = iter(reports)

    def check_output(self, _command: str, *_words: str) -> str:
        return json.dumps({"status": 200, "body": json.dumps({"items": next(self._reports)})})


def pod(name: str, namespace: str, *, is_up: bool) -> dict[str, Any]:
    state: dict[str, Any] = {"running": {}} if is_up else {"waiting": {}}
    return {
        "metadata": {"name": name, "namespace": namespace}, "spec": {},
        "status": {
            "phase": "Running" if is_up else "Pending", "containerStatuses": [{"state": state}],
            "conditions": [{"type": "Ready", "status": str(is_up)}],
        },
    }  # fmt: skip


def neighbour(guest: Guest) -> str:
    return str(booted.wait_for_neighbour(cast(Host, guest), [SPECS_POD], 60)["metadata"]["name"])


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _s: None)


def test_the_suites_own_neighbour_is_waited_for() -> None:
    own = [[pod("neighbour", booted.OF_SUITES, is_up=up)] for up in (False, True)]

    assert neighbour(Guest([], [], own[0], own[0], own[1], own[1])) == "neighbour"


def test_a_running_pod_of_the_spec_is_a_neighbour_at_once() -> None:
    up = [pod("web", "default", is_up=True)]

    assert neighbour(Guest(up, up)) == "web"


def test_a_pod_of_the_spec_that_starts_again_is_waited_for() -> None:
    up = [pod("web", "default", is_up=True)]

    assert neighbour(Guest([], [], up, up)) == "web"
