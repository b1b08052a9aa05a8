# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import types

import pytest

from goldsmith.core import progress
from goldsmith.pipeline import Timings


def test_only_stages_that_ended_are_recorded() -> None:
    timings = Timings()
    with timings.stage("spec"):
        pass
    with pytest.raises(KeyError), timings.stage("image"):
        raise KeyError

    assert list(timings.record().stages_s) == ["spec"]


def test_shares_of_provenance_are_summed_over_the_stages_of_one_build(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = types.SimpleNamespace(now_s=1000.0)
    monkeypatch.setattr(progress, "time", types.SimpleNamespace(monotonic=lambda: clock.now_s))
    with progress.share("lock"):  # of an earlier build of this process
        clock.now_s += 60
    timings = Timings()
    for _ in range(2):
        with timings.stage("image"), progress.share("lock"):
            clock.now_s += 0.5
    with pytest.raises(KeyError), progress.share("index"):
        raise KeyError

    provenance = timings.record().provenance_s

    assert set(provenance) == {"index", "lock"}
    assert provenance["lock"] == 1.0
