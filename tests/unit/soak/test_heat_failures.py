# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from goldsmith.errors import CloudError
from goldsmith.heat.outputs import ContainerState, PodState, Probe
from goldsmith.heat.stacks import Stack
from tests.soak import heat_failures
from tests.soak.heat_failure_cases import Case
from tests.soak.heat_failures import Failures


def pods(started_at: str) -> dict[str, PodState]:
    return {"web": PodState(uid="u", containers={"main": ContainerState(ready=True, started_at=started_at)})}


class FakeServer:
    """Its containers are those of `started_at`, which a case may change."""

    pods = ({"metadata": {"name": "web"}},)
    started_at = "first"

    def update(self) -> Stack:
        probe = Probe(boot_id="1", build="b", pods=pods(self.started_at)).as_dict()
        return Stack(id="1", name="x", status="UPDATE_COMPLETE", reason="", outputs={"probe": probe})


def restart(server: Any) -> None:
    server.started_at = "later"


def fail(_server: Any) -> None:
    raise CloudError("no such server")


@pytest.mark.parametrize(
    ("case", "problem"),
    [
        (Case(title="a", run=lambda _: None), None),
        (Case(title="a", run=restart, restarts=True), None),
        (Case(title="a", run=restart), "containers of the pod web were restarted"),
        (Case(title="a", run=fail), "no such server"),
    ],
)
def test_after_a_case_the_server_is_unchanged_or_the_trial_has_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case, problem: str | None
) -> None:
    monkeypatch.setattr(heat_failures, "CASES", (SimpleNamespace(), case))
    trials = Failures(tmp_path)
    trials.server = FakeServer()  # type: ignore[assignment]
    trials.running = pods("first")

    trial = trials.one(3, random.Random(1))  # noqa: S311

    assert trial["case"] == "a"
    assert [problem in each for each in trial["problems"]] == ([True] if problem else [])
