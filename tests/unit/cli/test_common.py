# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from invoke.context import Context
from invoke.exceptions import Exit

from goldsmith.clean import CleanAnswer
from goldsmith.cli import build, common, provenance
from goldsmith.cli.common import ErrorAnswer
from goldsmith.core import documents, progress
from goldsmith.core.display.activity import Activity
from goldsmith.errors import BootError, BuildError, EmulatorError, SpecError, VerificationError


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
        "problems": [], "retryable": False, "build": None, "folder": None, "failed": [],
    }  # fmt: skip


def answer_of(error: BaseException, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    with pytest.raises((Exit, type(error))), common.reported(as_json=True):
        raise error
    answer = json.loads(capsys.readouterr().out)
    jsonschema.validate(answer, documents.json_schema(ErrorAnswer))
    return dict(answer)


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        (BuildError("cannot fetch"), 4, None),
        (BuildError("cannot fetch", retryable=True), 4, True),
        (VerificationError("1 of 2 tests failed"), 6, False),
        (EmulatorError("lost"), 5, True),
        (KeyboardInterrupt(), 130, None),
        (ZeroDivisionError("division by zero"), 1, None),
        (PermissionError(errno.EACCES, "Permission denied", "/etc/shadow"), 3, None),
    ],
)
def test_programs_learn_of_every_failure_whether_another_attempt_can_help(
    error: BaseException, code: int, retryable: bool | None, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = answer_of(error, capsys)

    assert (answer["code"], answer["retryable"]) == (code, retryable)


def test_programs_learn_which_build_failed_and_in_which_tests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = VerificationError("1 of 2 tests failed", failed=["booted: ssh: no answer"])
    error.build = tmp_path / "20261129T000000Z-abc"

    answer = answer_of(error, capsys)

    assert (answer["build"], answer["folder"]) == ("20261129T000000Z-abc", str(error.build))
    assert answer["failed"] == ["booted: ssh: no answer"]


def test_what_the_host_refuses_is_an_error_of_the_host() -> None:
    with pytest.raises(Exit) as e, common.reported():
        raise PermissionError(errno.EACCES, "Permission denied", "/etc/shadow")

    assert (e.value.code, str(e.value).splitlines()[0]) == (
        3, "error: cannot use /etc/shadow: Permission denied",
    )  # fmt: skip


def test_a_full_disk_elsewhere_is_not_standard_output() -> None:
    with pytest.raises(Exit) as e, common.reported():
        raise OSError(errno.ENOSPC, "No space left on device")

    assert (e.value.code, str(e.value)) == (
        3,
        "error: this host refused to write or read: No space left on device\n"
        "hint: free space; GOLDSMITH_SCRATCH, GOLDSMITH_CACHE and --out name other folders",
    )


@pytest.mark.parametrize("size", [1, 100_000])
def test_a_standard_output_that_is_full_is_named(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    stdout = Path("/dev/full").open("w")  # noqa: SIM115 - closing it fails too
    monkeypatch.setattr("sys.stdout", stdout)

    with pytest.raises(Exit) as e, common.reported():
        print("x" * size)

    assert str(e.value).startswith("error: cannot use standard output: No space left on device")
    with contextlib.suppress(OSError):
        stdout.close()


def test_a_reader_that_leaves_ends_the_task_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)

        with pytest.raises(Exit) as e, common.reported():
            print("a line that fits into the buffer")

        assert (e.value.code, e.value.message) == (141, None)
        print("and what comes later is discarded", flush=True)


def test_a_broken_connection_elsewhere_is_a_bug() -> None:
    with pytest.raises(BrokenPipeError), common.reported():
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


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


def test_what_a_task_prints_does_not_mix_with_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_STATE", progress._State())
    before = sys.stdout, sys.stderr

    with common.reported():
        during = sys.stdout, sys.stderr
        progress._begin(Activity(title="a thread left it", parent=None, started_s=0))

    assert [isinstance(each, progress.Outside) for each in during] == [True, True]
    assert (sys.stdout, sys.stderr) == before
    assert progress._STATE.active == []
