# SPDX-License-Identifier: Apache-2.0
"""Moves of an alias as they are stored, and who moves it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from goldsmith.publish import moves, records
from goldsmith.publish.moves import Move, MoveKind, Mover
from goldsmith.publish.records import Records

GITHUB = {
    "GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://git.test", "GITHUB_REPOSITORY": "a/b",
    "GITHUB_RUN_ID": "7",
}  # fmt: skip


def a_move(number: int, **mover: str) -> Move:
    return Move(
        number=number, at="2026-03-01T12:00:00Z", kind=MoveKind.publish, build_id=f"b{number}", image="i",
        release=1, by=Mover(**mover),
    )  # fmt: skip


def test_moves_are_stored_as_ascii_and_the_oldest_are_dropped() -> None:
    kept = tuple(a_move(number, user="J\u00f6rg \U0001f600") for number in range(1, 60))

    text = moves.packed(kept)

    assert text.isascii()
    assert len(text) < 16000
    assert moves.parsed(text) == kept[-moves.MOST :]


def test_long_reasons_take_the_room_of_older_moves() -> None:
    kept = tuple(a_move(number, reason="\U0001f600" * moves.LONGEST_REASON) for number in range(1, 30))

    found = moves.parsed(text := moves.packed(kept))

    assert len(text) < 33 << 10
    assert found
    assert found == kept[-len(found) :]
    assert moves.parsed(moves.packed(kept[:1])) == kept[:1]


def test_moves_of_a_later_goldsmith_are_read_and_what_is_none_is_passed_over() -> None:
    (found,) = json.loads(moves.packed([a_move(1)]))

    assert moves.parsed(json.dumps([{**found, "more": 1}])) == (a_move(1),)
    (other,) = moves.parsed(json.dumps([{**found, "kind": "promotion"}]))
    assert other.kind == "promotion"
    for text in ("", "x", "{}", "[1]", '[{"number": 1}]', "[" * 100_000):
        assert moves.parsed(text) == ()


@pytest.mark.parametrize(
    ("environment", "run"),
    [
        ({}, ""),
        ({"CI_JOB_URL": "https://lab.test/1"}, "https://lab.test/1"),
        ({"BUILD_URL": "https://u:p@jenkins.test/2/"}, "https://jenkins.test/2/"),
        ({"BUILD_URL": "unknown"}, ""),
        (GITHUB, "https://git.test/a/b/actions/runs/7"),
        ({"GITHUB_ACTIONS": "true"}, ""),
    ],
)
def test_the_mover_is_known_by_user_machine_and_run(
    environment: dict[str, str], run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CI_JOB_URL", "BUILD_URL", "CIRCLE_BUILD_URL", "BUILDKITE_BUILD_URL", *GITHUB):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    found = moves.here("alice", "ops", reason="pods do not start")

    assert (found.user, found.project, found.run, found.reason) == ("alice", "ops", run, "pods do not start")
    assert found.host == os.uname().nodename
    assert f"@{found.host}" in found.text()


def test_an_account_without_a_name_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)

    assert moves.here("alice", "ops").login == ""


def test_moves_in_a_folder_of_records_are_found_again(tmp_path: Path) -> None:
    kept = Records(out=tmp_path, name="mine", folder=tmp_path / "records")
    assert records.histories_below(tmp_path / "records") == {}

    kept.put_history("b1", moves.packed([a_move(1)]))

    found = records.histories_below(tmp_path / "records")
    assert {build: moves.parsed(text) for build, text in found.items()} == {"b1": (a_move(1),)}
