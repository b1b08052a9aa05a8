# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from contextvars import copy_context
from pathlib import Path
from typing import TextIO, cast

import pytest

from goldsmith.core import proc, progress, wait
from goldsmith.core.paths import project_root
from tests.support import screens
from tests.support.screens import PseudoTerminal


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_STATE", progress._State())
    monkeypatch.setattr(progress, "_TICK_S", 0.01)


@pytest.fixture(params=[60, 100])
def screen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[PseudoTerminal]:
    """Progress goes to a terminal of so many columns."""
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "GITLAB_CI"):
        monkeypatch.delenv(name, raising=False)
    with screens.terminal(request.param) as made:
        monkeypatch.setattr(progress, "_stream", lambda: made.stream)  # pytest replaces sys.stderr
        yield made
        progress.end()


def without_times(lines: list[str]) -> list[str]:
    return [re.sub(r"\d+\.\d s$", "N s", line) for line in lines]


def test_a_step_is_announced_and_timed_on_stderr_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.step("image"):
        progress.note("inner")

    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"image \.\.\.\n  inner\nimage done in \d+\.\d s\n", err)


def test_a_failed_step_is_reported_as_failed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), progress.step("image"):
        raise KeyError

    assert "image failed after" in capsys.readouterr().err
    assert "done in" not in capsys.readouterr().err


def test_depth_is_restored_after_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), progress.step("outer"), progress.step("inner"):
        raise KeyError
    capsys.readouterr()

    progress.note("after")

    assert capsys.readouterr().err == "after\n"


def test_github_folds_outer_steps_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")

    with progress.step("outer"), progress.step("inner"):
        pass

    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("::")] == ["::group::outer", "::endgroup::"]
    assert lines[-1].startswith("outer done in")


def in_threads(*works: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_steps_of_two_threads_do_not_indent_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    both = threading.Barrier(2, timeout=10)

    def publish(cloud: str) -> None:
        with progress.step(f"{cloud} outer"):
            both.wait()  # the other is as deep
            progress.note(f"{cloud} inside")
            with progress.step(f"{cloud} inner"):
                both.wait()
            both.wait()
        progress.note(f"{cloud} after")

    in_threads(lambda: publish("left"), lambda: publish("right"))

    lines = [re.sub(r" \d+\.\d s$", "", line) for line in capsys.readouterr().err.splitlines()]
    for cloud in ("left", "right"):
        assert [line for line in lines if cloud in line] == [
            f"{cloud} outer ...", f"  {cloud} inside", f"  {cloud} inner ...", f"  {cloud} inner done in",
            f"{cloud} outer done in", f"{cloud} after",
        ]  # fmt: skip


def test_a_thread_with_our_context_starts_at_our_depth(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.step("outer"):
        beside = copy_context()
        in_threads(lambda: beside.run(progress.note, "within"))

    assert "\n  within\n" in capsys.readouterr().err


def test_github_folds_no_steps_that_run_in_parallel(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only one group is open at a time: the end of one thread's group would end the other's."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    both = threading.Barrier(2, timeout=10)

    def publish() -> None:
        with progress.step("cloud"):
            both.wait()

    in_threads(publish, publish)

    assert "::" not in capsys.readouterr().err


def test_a_log_file_gets_a_live_line_only_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    for second in range(31):
        now[0] = 1000.0 + second
        progress.live(f"at {second}")

    assert capsys.readouterr().err.splitlines() == ["at 0", "at 15", "at 30"]


def test_a_log_file_gets_amounts_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    with progress.step("upload"), progress.meter(total=100 << 20) as sent:
        for _ in range(20):
            now[0] += 1
            sent.add(4 << 20)
    with progress.step("image"), progress.meter(unit="hook", total=3) as hooks:
        now[0] += 16
        hooks.at(2, "install.d/50-kubelet")

    assert capsys.readouterr().err.splitlines() == [
        "upload ...", "  upload: 60.0 of 100.0 MiB, 4.0 MiB/s, 0:10 left", "upload done in 20.0 s",
        "image ...", "  image: hook 2 of 3: install.d/50-kubelet", "image done in 16.0 s",
    ]  # fmt: skip


def test_gitlab_folds_outer_steps_under_names_of_their_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITLAB_CI", "true")
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])

    for _ in range(2):
        with progress.step("fetch a/b: c"), progress.step("inner"):
            now[0] += 60

    marks = [line for line in capsys.readouterr().err.split("\n") if "section_" in line]
    pattern = r"\x1b\[0Ksection_(start|end):(\d+):([A-Za-z0-9_]+)(\[collapsed=true\])?\r\x1b\[0K(.*)"
    found = [match.groups() for mark in marks if (match := re.fullmatch(pattern, mark))]
    assert [(kind, at, title) for kind, at, _, _, title in found] == [
        ("start", "1000", "fetch a/b: c"), ("end", "1060", ""),
        ("start", "1060", "fetch a/b: c"), ("end", "1120", ""),
    ]  # fmt: skip
    names = [name for _, _, name, _, _ in found]
    assert names[0] == names[1] != names[2] == names[3]


def test_a_terminal_shows_what_is_under_way_and_how_long_it_took_last_time(screen: PseudoTerminal) -> None:
    with (
        progress.under_way("debian-kubelet", last_time_s=1657),
        progress.expecting({"image": 193.0, "other": 1.0}),
        progress.step("image"),
        progress.meter(unit="hook", total=37) as hooks,
    ):
        hooks.at(20, "install.d/50-kubelet")
        lines = screen.wait_for(lambda lines: "hook 20" in lines[-1])

    gap = screen.columns - 60
    shown = [re.sub(r"\d:\d\d(?= \()", "0:00", line) for line in lines]
    assert shown[0] == f"debian-kubelet                       {' ' * gap}0:00 (last time 27:37)"
    assert shown[1] == f"  image                               {' ' * gap}0:00 (last time 3:13)"
    assert lines[2].endswith("━  hook 20 of 37  install.d/50-kubelet")


def test_lines_that_stay_are_those_of_a_log_but_for_empty_beginnings(screen: PseudoTerminal) -> None:
    with progress.step("outer"):
        with progress.step("quick"):
            screen.wait_for(lambda lines: len(lines) == 2)
        with progress.step("inner"):
            progress.live("passes")
            progress.note("stays")
    lines = screen.wait_for(lambda lines: lines[-1].startswith("outer done"))

    assert without_times(lines) == [
        "outer ...", "  quick done in N s", "  inner ...", "    stays", "  inner done in N s",
        "outer done in N s",
    ]  # fmt: skip


def test_a_failed_step_leaves_its_line_and_no_rows(screen: PseudoTerminal) -> None:
    def fail() -> None:
        screen.wait_for(lambda lines: len(lines) == 2)
        raise KeyError

    with pytest.raises(KeyError), progress.step("image"), progress.meter(total=5):
        fail()

    assert without_times(screen.wait_for(lambda lines: len(lines) == 1)) == ["image failed after N s"]


def test_what_is_in_no_step_goes_when_it_ends(screen: PseudoTerminal) -> None:
    with progress.meter("fetch index", total=100) as got:
        got.at(50)
        screen.wait_for(lambda lines: "50 of 100 B" in lines[-1])

    wait.wait_until(lambda: not screen.lines, timeout_s=30, interval_s=0.01)
    progress.live("reading")
    screen.wait_for(lambda lines: lines == ["reading"])


def test_what_a_part_left_goes_with_its_step(screen: PseudoTerminal) -> None:
    """Such as an upload that was given up in the middle of its body."""
    with progress.step("outer"):
        with progress.step("upload"):
            left = progress.meter(total=100)
            left.__enter__().at(50)
            screen.wait_for(lambda lines: "50 of 100 B" in lines[-1])
        with progress.step("other"):
            lines = screen.wait_for(lambda lines: lines[-1].startswith("  other  "))
        left.__exit__(None, None, None)

    assert not [line for line in lines if "50 of 100 B" in line]


def test_two_threads_have_rows_of_their_own(screen: PseudoTerminal) -> None:
    both = threading.Barrier(3, timeout=60)

    def publish(cloud: str) -> None:
        with progress.step(f"{cloud}: upload"), progress.meter(total=100) as sent:
            for done in range(100):
                sent.at(done)
                progress.live(f"{cloud} says {done}")
                if done == 50:
                    progress.note(f"{cloud}: trying again")
            both.wait()
            both.wait()

    with progress.step("publish"):
        threads = [
            threading.Thread(target=copy_context().run, args=(publish, cloud)) for cloud in ("left", "right")
        ]
        for thread in threads:
            thread.start()
        both.wait()
        lines = screen.wait_for(lambda lines: sum("says 99" in line for line in lines) == 2)
        both.wait()
        for thread in threads:
            thread.join()

    rows = lines[lines.index(next(line for line in lines if line.startswith("publish  "))) :]
    kinds = [re.sub(r"  +.*", "", row.strip()) for row in rows]
    of = {cloud: [f"{cloud}: upload", f"{cloud} says 99"] for cloud in ("left", "right")}
    assert [kind for kind in kinds[1:] if "says" in kind or "upload" in kind] in (
        [*of["left"], *of["right"]], [*of["right"], *of["left"]],
    )  # fmt: skip
    last = screen.wait_for(lambda lines: lines[-1].startswith("publish done"))
    assert sorted(without_times(last)) == sorted([
        "publish ...", "  left: upload ...", "  right: upload ...", "    left: trying again",
        "    right: trying again", "  left: upload done in N s", "  right: upload done in N s",
        "publish done in N s",
    ])  # fmt: skip


def test_what_others_print_stays_above_the_rows(screen: PseudoTerminal) -> None:
    errors = progress.Outside(screen.stream)
    with progress.step("image"):
        screen.wait_for(lambda lines: len(lines) == 1)
        print("a warning", file=cast("TextIO", errors))
        lines = screen.wait_for(lambda lines: len(lines) == 2)

    assert lines[0] == "a warning"
    assert lines[1].startswith("image  ")


def test_nothing_is_drawn_behind_a_part_of_a_line(screen: PseudoTerminal) -> None:
    errors = progress.Outside(screen.stream)
    with progress.step("image"):
        screen.wait_for(lambda lines: len(lines) == 1)
        errors.write("a part")
        errors.flush()
        time.sleep(0.1)
        assert screen.lines == ["a part"]
        errors.write(" and the rest\n")
        lines = screen.wait_for(lambda lines: len(lines) == 2)

    assert lines[0] == "a part and the rest"


def test_a_question_has_the_terminal_to_itself(screen: PseudoTerminal) -> None:
    with progress.step("sign"):
        screen.wait_for(lambda lines: len(lines) == 1)
        with progress.hidden():
            print("Passphrase: ", end="", file=screen.stream, flush=True)
            progress.live("still at work")
            time.sleep(0.1)
            assert screen.wait_for(lambda lines: len(lines) == 2) == ["sign ...", "Passphrase:"]
            print(file=screen.stream, flush=True)
        lines = screen.wait_for(lambda lines: len(lines) == 4)

    assert lines[2].startswith("sign  ")
    assert lines[3] == "  still at work"


def test_a_program_of_the_user_has_the_terminal_to_itself(screen: PseudoTerminal, tmp_path: Path) -> None:
    begun, seen = tmp_path / "begun", tmp_path / "seen"
    lines: list[list[str]] = []

    def look() -> None:
        wait.wait_until(begun.exists, timeout_s=30, interval_s=0.01)
        lines.append(screen.settled())
        seen.touch()

    looking = threading.Thread(target=look)
    with progress.step("tests"):
        screen.wait_for(lambda lines: lines[-1].startswith("tests  "))
        looking.start()
        proc.interactive(["sh", "-c", f"touch {begun}; until [ -e {seen} ]; do sleep 0.01; done"])
        looking.join()
        screen.wait_for(lambda lines: lines[-1].startswith("tests  "))

    assert lines == [["tests ..."]]


def test_a_terminal_that_becomes_narrower_has_no_rests(
    screen: PseudoTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    # one frame before the change: seen() takes all of them for those of a narrow terminal
    monkeypatch.setattr(progress, "time", types.SimpleNamespace(monotonic=lambda: 1000.0, sleep=time.sleep))

    with progress.step("image"):
        screen.wait_for(lambda lines: len(lines) == 1)
        screen.resize(30)
        progress.live("console: " + "x" * 50)
        lines = screen.wait_for(lambda lines: lines[-1].startswith("  console"))

    assert [len(line) for line in lines] == [29, 29]


def test_a_terminal_that_does_not_tell_its_size_has_80_columns(screen: PseudoTerminal) -> None:
    screen.resize(0, 0)
    screen.columns = 80  # what it has, without telling

    with progress.step("image"):
        lines = screen.wait_for(lambda lines: lines[-1].startswith("image  "))

    assert len(lines[-1]) == 79


def test_nothing_is_drawn_in_the_background(screen: PseudoTerminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "tcgetpgrp", lambda _descriptor: os.getpgrp() + 1)

    with progress.step("image"):
        time.sleep(0.1)
        progress.note("stays")

    lines = screen.wait_for(lambda lines: lines[-1].startswith("image done"))
    assert without_times(lines) == ["image ...", "  stays", "image done in N s"]
    assert "\x1b" not in screen.output


@pytest.mark.parametrize(
    ("name", "value"),
    [("NO_COLOR", "1"), ("TERM", "dumb"), ("TERM", ""), ("GITHUB_ACTIONS", "true")],
)
def test_a_terminal_that_wants_none_gets_no_rows(
    screen: PseudoTerminal, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with progress.step("image"), progress.meter(total=5) as sent:
        sent.at(3)
        progress.live("status")
        time.sleep(0.1)

    lines = [line for line in screen.wait_for(lambda lines: "done" in "".join(lines)) if "::" not in line]
    assert without_times(lines) == ["image ...", "image done in N s"]
    assert "\x1b" not in screen.output


def test_a_stream_of_no_terminal_gets_what_is_written_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    output = progress.Outside(sys.stdout)
    with progress.step("image"):
        output.write("{")
        output.write("}\n")

    assert capsys.readouterr().out == "{}\n"


_TASK = """
import pathlib, sys, time
from goldsmith.cli import common
from goldsmith.core import progress, proc
try:
    with common.reported(as_json=True):
        with progress.step("image"), progress.meter(unit="hook", total=9) as hooks:
            hooks.at(1, "install.d/10-first")
            coloured = ("sh", "-c", "printf '\\033[32mgreen\\033[0m\\n'")
            proc.run(coloured, log_path=pathlib.Path(sys.argv[1]))
            time.sleep(60)
except common.Exit as e:
    sys.exit(e.code)
"""


@pytest.fixture
def task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[subprocess.Popen[str], PseudoTerminal]]:
    """A task whose standard error is a terminal, at work."""
    monkeypatch.setenv("TERM", "xterm")
    with screens.terminal(60) as screen:
        argv = [sys.executable, "-c", _TASK, str(tmp_path / "build.log")]
        process = subprocess.Popen(
            argv, stdin=screen.stream, stdout=subprocess.PIPE, stderr=screen.stream, text=True,
            cwd=project_root(), start_new_session=True,
        )  # fmt: skip
        with process:
            screen.wait_for(lambda lines: "hook 1 of 9" in lines[-1])
            yield process, screen
            process.kill()


def test_an_interrupt_leaves_lines_a_document_and_a_log_without_escape_sequences(
    task: tuple[subprocess.Popen[str], PseudoTerminal], tmp_path: Path
) -> None:
    process, screen = task
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)

    assert process.returncode == 130
    assert json.loads(output)["message"] == "interrupted"
    lines = screen.settled()
    assert without_times(lines)[0] == "image failed after N s"
    assert "hook" not in "".join(lines)
    assert "\ngreen\n" in (tmp_path / "build.log").read_text()


def test_a_killed_task_leaves_the_cursor_visible_below_the_rows(
    task: tuple[subprocess.Popen[str], PseudoTerminal],
) -> None:
    process, screen = task
    process.kill()
    process.wait(60)
    left = screen.settled()

    assert left[0].startswith("image  ")
    assert screens.seen(f"{screen.output}$ ", 60) == [*left, "$"]
    assert not re.search(r"\x1b\[\?", screen.output)
