# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import types
from pathlib import Path

import pytest

from goldsmith.core import progress
from goldsmith.image.timings import Timings
from tests.support import samples


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


def test_a_build_shows_how_long_its_stages_and_phases_took_in_the_latest_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = samples.manifest(
        stages_s={"spec": 1.0, "image": 60.0, "boot": 20.0},
        verification=samples.verdict(durations_s={"booted": 30.0}),
    )
    (tmp_path / "out/mine/latest").mkdir(parents=True)
    (tmp_path / "out/mine/latest/manifest.json").write_text(json.dumps(found))
    timings = Timings()
    timings.stages["spec"] = 0.5

    with timings.shown(tmp_path / "out/mine"):
        whole = progress._CURRENT.get()
        with progress.step("image"):
            image = progress._CURRENT.get()
        with progress.step("booted"):
            booted = progress._CURRENT.get()
        with progress.step("new"):
            new = progress._CURRENT.get()

    seconds = [each.last_time_s for each in (whole, image, booted, new) if each]
    assert seconds == [80.5, 60.0, 30.0, None]


@pytest.mark.parametrize("content", [None, "{}", "not JSON"])
def test_without_a_build_to_compare_with_none_is_shown(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "latest").mkdir()
        (tmp_path / "latest/manifest.json").write_text(content)

    with Timings().shown(tmp_path), progress.step("image"):
        current = progress._CURRENT.get()

    assert current
    assert [each.last_time_s for each in current.outwards()] == [None, None]
