# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
from pathlib import Path

import pytest

from goldsmith.spec import load
from tests.soak import fleet


def test_a_spec_of_the_fleet_is_another_with_containers_and_pods_that_fit() -> None:
    spec = load.load(fleet.SPEC, {}).spec

    made = [fleet.other(spec, index, random.Random(index)) for index in range(8)]  # noqa: S311

    assert len({each.name for each in made}) == len({each.verify.memory_mib for each in made}) == 8
    assert {len(each.containers) for each in made} == {2, 3}
    for each in made:
        refs = {container.ref for container in each.containers}
        assert "goldsmith.local/pause:1" in refs
        assert {c["image"] for pod in each.verify.pods for c in pod["spec"]["containers"]} <= refs


@pytest.mark.parametrize(
    ("seconds", "memory", "made", "problem"),
    [
        ([100.0, 14.0, 16.0, 13.0], [50.0, 60.0, 61.0, 62.0], 1, None),
        ([100.0, 16.0, 17.0, 13.0], [50.0, 60.0, 61.0, 62.0], 1, "an image takes 16.0 s"),
        ([1.0, 1.0], [50.0, 60.0], 2, "the root was made 2 times"),
        ([1.0, 1.0, 1.0], [50.0, 60.0, 67.0], 0, "memory grew from 60.0 to 67.0 MiB"),
    ],
)
def test_the_fleet_is_judged(
    tmp_path: Path, seconds: list[float], memory: list[float], made: int, problem: str | None
) -> None:
    trials = fleet.Fleet(tmp_path)
    trials._seconds, trials._memory_mib, trials._made = seconds, memory, made

    problems = trials.finish()["problems"]

    assert len(problems) == (problem is not None)
    assert (problem or "") in "".join(problems)
