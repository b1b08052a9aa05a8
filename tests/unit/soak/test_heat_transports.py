# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
from pathlib import Path

import pytest

from goldsmith.errors import VerificationError
from goldsmith.heat import verify
from goldsmith.heat.acceptance import Options
from goldsmith.heat.report import HeatFigures, HeatStep, HeatVerdict
from tests.soak import heat_transports
from tests.support.stack_trials import SPEC


def test_each_variant_is_a_trial_and_one_that_fails_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def verified(_out: Path, name: str, *, cloud: str, options: Options) -> HeatVerdict:
        if name != SPEC:
            raise VerificationError("a hook did not answer")
        return HeatVerdict(
            result="passed", cloud="x", manifest_sha256="", image_sha256=options.poll_transport,
            steps=(HeatStep(name="create", seconds=5.0),), figures=HeatFigures(seconds_to_ready=2.0),
        )  # fmt: skip

    monkeypatch.setattr(verify, "verify", verified)
    transports = heat_transports.Transports(tmp_path)

    count = len(heat_transports.VARIANTS)

    trials = [transports.one(index, random.Random(1)) for index in range(count)]  # noqa: S311

    assert [trial["road"] for trial in trials] == transports.prepare({})["roads"]
    assert [trial["problems"] for trial in trials] == [[], [], ["a hook did not answer"], []]
    assert trials[0]["image_sha256"] == "POLL_TEMP_URL"
    assert trials[1]["seconds"] == {"create": 5.0}
    assert trials[1]["figures"] == {"seconds_to_ready": 2.0}
