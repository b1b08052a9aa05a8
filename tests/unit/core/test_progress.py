# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import re
import sys
import threading
import time
from collections.abc import Callable
from contextvars import copy_context

import pytest

from goldsmith.core import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_STATE", progress._State())


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """For the test itself to call: pytest replaces stderr after the fixtures."""
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr(progress, "_columns", lambda: 20)
    return stderr


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


def test_a_live_line_is_erased_by_the_next_and_by_what_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    progress.live("hook one")
    progress.live("two")
    progress.note("stays")

    assert terminal.getvalue() == "hook one\r        \rtwo\r   \rstays\n"


def test_a_live_line_never_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    progress.live("x" * 50)

    assert terminal.getvalue() == "x" * 19


def test_a_live_line_is_one_line_whatever_a_console_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    progress.live("a\n\tb")

    assert terminal.getvalue() == "a b"


def test_a_log_file_gets_a_live_line_only_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    for second in range(31):
        now[0] = 1000.0 + second
        progress.live(f"at {second}")

    assert capsys.readouterr().err.splitlines() == ["at 0", "at 15", "at 30"]


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 B"), (123, "123 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5_000_000, "4.8 MiB"),
     (3 * 1024**3, "3.0 GiB"), (5000 * 1024**3, "5000.0 GiB")],
)  # fmt: skip
def test_sizes_are_readable(size: int, shown: str) -> None:
    assert progress.human_bytes(size) == shown
