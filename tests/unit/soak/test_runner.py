# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from goldsmith.cli import development
from goldsmith.core import paths, reaper
from goldsmith.errors import SpecError, VerificationError
from goldsmith.host import accelerator
from goldsmith.image import checkout
from tests.soak import heat_transports, kill, runner
from tests.support import builds


class Dice:
    """Trials that throw a die; the number in `bad` goes wrong."""

    bad: int | None = None
    known: Mapping[str, Any]

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        type(self).known = facts
        return {"sides": 6}

    def one(self, index: int, choice: random.Random) -> dict[str, Any]:
        problems = ["fell off the table"] if index == self.bad else []
        return {"index": index, "thrown": choice.randint(1, 6), "problems": problems}

    def finish(self) -> dict[str, Any]:
        return {"problems": []}


@pytest.fixture(autouse=True)
def dice(monkeypatch: pytest.MonkeyPatch) -> type[Dice]:
    class Kind(Dice):
        pass

    found = accelerator.ProbeResult(name="tcg", args=(), slowness=4.0, note="")
    monkeypatch.setattr(accelerator, "find", lambda **_: found)
    monkeypatch.setattr(checkout, "commit_of", lambda _: ("abc", False))
    monkeypatch.setitem(runner.KINDS, "dice", Kind)
    return Kind


def thrown(report: Path) -> list[int]:
    return [trial["thrown"] for trial in json.loads(report.read_text())["trials"]]


def test_report_says_what_was_tried_where(tmp_path: Path) -> None:
    runner.run("dice", times=2, seed=1, report=tmp_path / "new" / "report.json")
    report = json.loads((tmp_path / "new" / "report.json").read_text())

    assert report["schema"] == "goldsmith.soak"
    assert (report["name"], report["seed"], report["times"], report["failed"]) == ("dice", 1, 2, 0)
    assert report["host"]["accelerator"] == "tcg"
    assert report["facts"] == {"sides": 6}
    assert [trial["index"] for trial in report["trials"]] == [0, 1]


def test_same_seed_gives_the_same_trials(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        runner.run("dice", times=8, seed=seed, report=tmp_path / name)

    assert thrown(tmp_path / "a") == thrown(tmp_path / "b") != thrown(tmp_path / "c")


def test_an_interrupted_run_resumes_with_the_trials_it_would_have_had(
    tmp_path: Path, dice: type[Dice]
) -> None:
    runner.run("dice", times=8, seed=1, report=tmp_path / "whole")
    runner.run("dice", times=3, seed=1, report=tmp_path / "parts")
    runner.run("dice", times=8, seed=1, report=tmp_path / "parts")

    assert thrown(tmp_path / "parts") == thrown(tmp_path / "whole")
    assert dice.known == {"sides": 6}


def test_a_trial_that_fails_stops_the_run_and_stays_in_the_report(tmp_path: Path, dice: type[Dice]) -> None:
    dice.bad = 1
    with pytest.raises(VerificationError, match=r"trial 2 of dice, seed 1:\n  \| fell off the table"):
        runner.run("dice", times=4, seed=1, report=tmp_path / "report")

    assert len(thrown(tmp_path / "report")) == 2


def test_a_run_that_resumes_after_a_failed_trial_fails(tmp_path: Path, dice: type[Dice]) -> None:
    dice.bad = 1
    with pytest.raises(VerificationError):
        runner.run("dice", times=4, seed=1, report=tmp_path / "report")

    with pytest.raises(VerificationError, match=r"1 of 4 trials failed: \[2\]"):
        runner.run("dice", times=4, seed=1, report=tmp_path / "report")

    assert len(thrown(tmp_path / "report")) == 4


def test_a_report_with_the_earlier_name_is_resumed(
    tmp_path: Path, dice: type[Dice], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(runner.ALIASES, "bones", "dice")
    runner.run("dice", times=1, seed=1, report=tmp_path / "report")
    report = tmp_path / "report"
    report.write_text(report.read_text().replace('"name": "dice"', '"name": "bones"'))

    for name in ("dice", "bones"):
        runner.run(name, times=2, seed=1, report=report)

    assert len(thrown(report)) == 2
    assert runner.KINDS[runner.ALIASES["heat-roads"]] is heat_transports.Transports


def test_an_unknown_kind_is_reported_with_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="'cards'") as e:
        runner.run("cards", times=1, seed=1, report=tmp_path / "report")

    assert "dice" in (e.value.hint or "")
    assert "kill" in (e.value.hint or "")


@pytest.mark.parametrize("text", ["no JSON", '{"schema": "goldsmith.soak", "name": "dice", "seed": 2}'])
def test_a_report_of_something_else_is_not_overwritten(tmp_path: Path, text: str) -> None:
    (tmp_path / "report").write_text(text)

    with pytest.raises(SpecError):
        runner.run("dice", times=1, seed=1, report=tmp_path / "report")

    assert (tmp_path / "report").read_text() == text


@pytest.fixture
def place(tmp_path: Path) -> builds.Place:
    place = builds.Place(root=tmp_path)
    for folder in (place.scratch, place.out / "tiny" / "20260101T000000Z-abc", place.cache / "kind"):
        folder.mkdir(parents=True)
    return place


def test_nothing_remains_of_a_clean_place(place: builds.Place) -> None:
    assert place.remains() == []


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ("s/run-x", "folder"),
        ("cache/kind/.new-key-x", "file"),
        ("out/tiny/20260101T000000Z-abc/tiny.qcow2", "file"),
        ("out/tiny/20260101T000000Z-abc/tiny.qcow2.part", "file"),
        ("out/tiny/20260101T000000Z-abc/.manifest.json.x", "file"),
    ],
)
def test_what_remains_is_seen(place: builds.Place, left: str, said: str) -> None:
    (place.root / left).mkdir()

    assert place.remains() == [f"{said} {place.root / left}"]


def test_a_report_has_no_path_of_its_machine(tmp_path: Path) -> None:
    root, cache = paths.project_root(), paths.cache_root()
    line = f"process 1 ({cache}/bin/python {root}/tasks.py {tmp_path}/place/s/run-1)"

    said = kill.Kill(tmp_path / "place")._without_paths(line)

    assert said == "process 1 (CACHE/bin/python CHECKOUT/tasks.py PLACE/s/run-1)"


def test_lock_that_is_held_is_seen(place: builds.Place) -> None:
    import fcntl

    path = place.cache / "kind" / ".key.lock"
    with path.open("ab") as lock:
        assert place.remains() == []
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert place.remains() == [f"lock {path}"]


def test_announced_step_is_read_from_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    invocation = builds.Invocation(None, log)  # type: ignore[arg-type]
    log.write_text("")
    assert invocation.step() == "(start)"

    log.write_text("spec ...\nspec done in 0.2 s\nimage ...\n  root.d/10-tiny-os (1) 6 s\n")
    assert invocation.step() == "image"


def test_family_is_a_process_and_all_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaper, "parents", lambda: {1: 0, 2: 1, 3: 2, 4: 3, 5: 1})

    assert sorted(builds.family(2)) == [2, 3, 4]


def test_the_help_of_the_task_names_each_kind() -> None:
    said = development.soak.help["name"].split(";")

    assert {line.partition(":")[0].strip() for line in said} == set(runner.KINDS) - {"dice"}
