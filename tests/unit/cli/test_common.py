# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import pytest
from invoke.context import Context
from invoke.exceptions import Exit

from goldsmith.clean import CleanAnswer
from goldsmith.cli import build, common, provenance
from goldsmith.cli.common import ErrorAnswer
from goldsmith.core import documents
from goldsmith.errors import BootError, SpecError


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_an_expected_error_becomes_message_hint_and_exit_code() -> None:
    with pytest.raises(Exit) as e, common.reported():
        raise BootError("no banner", hint="see console.log")

    assert (e.value.code, str(e.value)) == (5, "error: no banner\nhint: see console.log")


def test_an_error_without_hint_has_one_line() -> None:
    with pytest.raises(Exit) as e, common.reported():
        raise SpecError("bad")

    assert str(e.value) == "error: bad"


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), common.reported():
        raise ZeroDivisionError


def test_programs_get_the_error_as_json_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Exit), common.reported(as_json=True):
        raise SpecError("bad", hint="fix it")

    assert json.loads(capsys.readouterr().out) == {
        "schema": "goldsmith.error", "version": 1, "code": 2, "message": "bad", "hint": "fix it",
        "problems": [],
    }  # fmt: skip


@pytest.mark.parametrize("task", [build.build_image, build.plan, build.export_images, provenance.lock])
def test_programs_get_the_problems_of_a_spec_one_by_one(
    task: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "mine.yaml.j2"
    spec.write_text("name: mine\ndistribution: debian\nrelease: trixie\nelement: []\ncontainers: []\n")

    with pytest.raises(Exit):
        task(Context(), name=str(spec), json=True)

    answer = json.loads(capsys.readouterr().out)
    jsonschema.validate(answer, documents.json_schema(ErrorAnswer))
    assert answer["code"] == 2
    assert answer["problems"] == [
        {
            "file": str(spec), "line": 4, "key": "element", "message": "unknown key 'element'",
            "hint": "did you mean 'elements'?",
        }
    ]  # fmt: skip


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signals_interrupt_and_run_the_clean_up(signum: signal.Signals) -> None:
    undone = []

    def work() -> None:
        with common.reported():
            try:
                os.kill(os.getpid(), signum)
            finally:
                undone.append(True)

    with pytest.raises(Exit) as e:
        work()

    assert e.value.code == 130
    assert undone


def test_variables_are_split_at_the_first_equals_sign() -> None:
    assert common.variables(["a=1", "url=http://x/?y=z", "empty="]) == {
        "a": "1", "url": "http://x/?y=z", "empty": "",
    }  # fmt: skip


def test_a_variable_without_value_is_an_error_of_the_user() -> None:
    with pytest.raises(SpecError, match="NAME=VALUE, got 'b'"):
        common.variables(["a=1", "b"])


def test_answers_have_a_schema_and_a_version(capsys: pytest.CaptureFixture[str]) -> None:
    common.print_document(CleanAnswer(removed=("removed x",)))

    assert json.loads(capsys.readouterr().out) == {
        "schema": "goldsmith.clean", "version": 1, "removed": ["removed x"], "left": [],
    }  # fmt: skip
