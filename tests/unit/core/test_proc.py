# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import ast
import os
import re
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goldsmith.core import privilege, proc
from goldsmith.core.paths import project_root
from goldsmith.devcloud import venv
from goldsmith.errors import CommandError, CommandTimeout, HostError
from tests.support.syntax import dotted


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "build.log"


def sh(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


def is_running(pid: int) -> bool:
    """Running, and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for_file(path: Path) -> str:
    deadline = time.monotonic() + 5
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return path.read_text().strip()


def test_output_of_both_streams_is_appended_to_the_log_behind_the_command(log: Path) -> None:
    log.write_text("earlier\n")

    proc.run(sh("echo out; echo err >&2"), log_path=log)

    first, command, *lines = log.read_text().splitlines()
    assert first == "earlier"
    assert command == "+ sh -c 'echo out; echo err >&2'"
    assert sorted(lines) == ["err", "out"]


def test_every_line_is_seen_as_it_comes(log: Path) -> None:
    seen: list[str] = []

    proc.run(sh("printf 'a\\r\\nb'"), log_path=log, on_line=seen.append)

    assert seen == ["a", "b"]


def test_bytes_that_are_not_text_do_not_stop_a_build(log: Path) -> None:
    proc.run(sh(r"printf '\377\n'"), log_path=log)

    assert "\\xff" in log.read_text()


def test_a_failure_carries_status_and_the_last_lines(log: Path) -> None:
    with pytest.raises(CommandError) as e:
        proc.run(sh("for i in $(seq 30); do echo $i; done; exit 7"), log_path=log)

    assert e.value.returncode == 7
    assert e.value.tail == tuple(str(i) for i in range(11, 31))
    assert e.value.hint == f"full log: {log}"


def test_an_exit_status_that_the_caller_expects_is_no_failure(log: Path) -> None:
    assert proc.run(sh("exit 33"), log_path=log, success_exit_status=(33,)) == 33
    with pytest.raises(CommandError, match="exited with 0"):
        proc.run(sh("exit 0"), log_path=log, success_exit_status=(33,))


def test_colours_of_a_program_reach_neither_log_nor_message(log: Path) -> None:
    with pytest.raises(CommandError, match=r"\| error: no such image$"):
        proc.run(["sh", "-c", r"printf '\033[1;31merror:\033[0m no such image\r\n'; exit 1"], log_path=log)

    assert log.read_text().endswith("\nerror: no such image\n")


def test_a_failure_by_a_signal_names_the_signal(log: Path) -> None:
    with pytest.raises(CommandError, match="ended by SIGKILL"):
        proc.run(sh("kill -9 $$"), log_path=log)


def test_a_missing_program_is_an_error_of_the_host(log: Path) -> None:
    with pytest.raises(HostError, match="no-such-program is not installed"):
        proc.run(["no-such-program"], log_path=log)
    with pytest.raises(HostError, match="not installed"):
        proc.capture(["no-such-program"])
    with pytest.raises(HostError, match="not installed"):
        proc.interactive(["no-such-program"])


def test_a_missing_folder_is_not_reported_as_a_missing_program(log: Path, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="gone"):
        proc.run(sh("true"), log_path=log, cwd=tmp_path / "gone")


def test_a_file_that_cannot_be_run_is_an_error_of_the_host(log: Path, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")

    with pytest.raises(HostError, match="program"):
        proc.run([program], log_path=log)


def test_a_deadline_ends_the_program_and_its_children(log: Path, tmp_path: Path) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/child; echo here; wait"

    with pytest.raises(CommandTimeout, match="here"):
        proc.run(sh(script), log_path=log, timeout_s=0.5, grace_s=1)

    assert not is_running(int((tmp_path / "child").read_text()))


def test_term_comes_before_kill_so_that_a_program_can_clean_up(log: Path, tmp_path: Path) -> None:
    script = f"trap 'echo unmounted > {tmp_path}/trace; exit' TERM; echo up; while :; do sleep 0.05; done"

    with pytest.raises(CommandTimeout):
        proc.run(sh(script), log_path=log, timeout_s=0.4, grace_s=5)

    assert (tmp_path / "trace").read_text() == "unmounted\n"


def test_a_program_that_ignores_term_is_killed(log: Path, tmp_path: Path) -> None:
    script = f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.05; done"

    with pytest.raises(CommandTimeout):
        proc.run(sh(script), log_path=log, timeout_s=0.3, grace_s=0.3)

    assert not is_running(int((tmp_path / "pid").read_text()))


def test_an_interrupt_ends_the_program(log: Path, tmp_path: Path) -> None:
    def interrupt(_line: str) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        proc.run(sh("echo $$; sleep 60"), log_path=log, on_line=interrupt, grace_s=1)

    pid = int(log.read_text().splitlines()[-1])
    assert not is_running(pid)


def test_capture_returns_standard_output_alone() -> None:
    assert proc.capture(sh("echo out; echo err >&2")) == "out\n"


def test_capture_passes_standard_input_and_none_by_default() -> None:
    assert proc.capture(("sh", "-c", "cat"), stdin=b"words") == "words"
    assert proc.capture(("sh", "-c", "cat")) == ""


def test_capture_shows_standard_error_on_failure() -> None:
    with pytest.raises(CommandError, match=r"exited with 3\n  \| broken"):
        proc.capture(sh("echo no; echo broken >&2; exit 3"))


def test_capture_has_a_deadline() -> None:
    with pytest.raises(CommandTimeout):
        proc.capture(sh("sleep 60"), timeout_s=0.2)


def test_a_background_program_lives_as_long_as_its_block(log: Path) -> None:
    with proc.background(sh("echo up; sleep 60"), log_path=log) as process:
        assert wait_for_file(log) == "up"
        assert not proc.ends_within(process, 0)

    assert process.poll() is not None


def test_a_background_program_ends_with_a_block_that_fails(log: Path) -> None:
    with pytest.raises(KeyError), proc.background(sh("sleep 60"), log_path=log) as process:
        raise KeyError

    assert process.poll() is not None


def test_a_background_program_that_ends_by_itself_is_noticed(log: Path) -> None:
    with proc.background(sh("exit 3"), log_path=log) as process:
        assert proc.ends_within(process, 5)
        assert process.returncode == 3


def test_interactive_returns_the_status() -> None:
    assert proc.interactive(sh("exit 5")) == 5


@pytest.mark.parametrize("secret", ["plain", "two words", "it's", "$(x)"])
def test_a_secret_is_neither_in_the_log_nor_in_the_error(log: Path, secret: str) -> None:
    script = 'echo "got $0"; exit 1'

    with pytest.raises(CommandError) as e:
        proc.run(("sh", "-c", script, secret), log_path=log, secrets=[secret])

    assert secret not in log.read_text()
    assert secret not in str(e.value)
    assert "got ***" in log.read_text()


def test_a_secret_that_is_part_of_another_does_not_reveal_it() -> None:
    assert proc.redact("abcdef abc", ["abc", "abcdef", ""]) == "*** ***"


def test_children_get_only_allowed_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_PASSWORD", "hunter2")
    monkeypatch.setenv("DIB_RELEASE", "left over")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test")

    env = proc.environment({"MORE": "1"})

    assert "OS_PASSWORD" not in env
    assert "DIB_RELEASE" not in env
    assert env["HTTPS_PROXY"] == "http://proxy.test"
    assert env["MORE"] == "1"


NOT_PASSED_ON = {
    "GITHUB_ACTIONS": "groups of a log do not nest",
    "GITLAB_CI": "the same, for its sections",
    "GOLDSMITH_KEY_PASSPHRASE": "a secret: no program may see it",
    "OS_AUTH_URL": "only goldsmith itself connects to clouds",
    "OS_CLOUD": "the same",
    "OS_CLIENT_CONFIG_FILE": "the same",
    **dict.fromkeys(venv._PIP_SETTINGS, "may contain a login; pip gets them by name"),
}


def test_every_variable_that_our_code_reads_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = (path.read_text() for path in sources())
    trees = [ast.parse(text) for text in texts if "environ" in text or "getenv" in text]
    read = {name for tree in trees for name in variables_read(tree)}
    shell = "".join(path.read_text() for path in (project_root() / "scripts").rglob("*.sh"))
    read |= set(re.findall(r"\$\{?(GOLDSMITH_\w+)", shell))
    for name in read:
        monkeypatch.setenv(name, "set")

    passed_on = {name for name in read if name in proc.environment()}

    assert len(read) > 15
    assert read - passed_on == NOT_PASSED_ON.keys()


def sources() -> list[Path]:
    return [project_root() / "tasks.py", *sorted((project_root() / "goldsmith").rglob("*.py"))]


def variables_read(tree: ast.Module) -> set[str]:
    """The variables of os.environ that a module reads, by literal name or by a constant of the module."""
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    loops = {
        each.target.id: each.iter
        for node in ast.walk(tree)
        if isinstance(node, ast.DictComp)
        for each in node.generators
        if isinstance(each.target, ast.Name)
    }
    return {name for key in _keys(tree) for name in _texts(key, {**constants, **loops})}


def _keys(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and dotted(node.value) == "os.environ":
            yield node.slice
        if isinstance(node, ast.Call) and dotted(node.func) in ("os.environ.get", "os.getenv"):
            yield node.args[0]


def _texts(key: ast.expr, known: dict[str, ast.expr]) -> list[str]:
    if isinstance(key, ast.Constant):
        return [str(key.value)]
    if isinstance(key, ast.Tuple):
        return [text for each in key.elts for text in _texts(each, known)]
    if isinstance(key, ast.Name) and key.id in known:
        return _texts(known[key.id], known)
    if ast.unparse(key) in ("proc.RUN_MARKER", "RUN_MARKER"):
        return [proc.RUN_MARKER]
    raise AssertionError(f"what variable is {ast.unparse(key)}? Name it by a constant of its module")


def test_programs_of_sbin_are_found_whatever_the_users_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/usr/sbin")

    assert proc.environment()["PATH"] == "/usr/bin:/usr/sbin:/usr/local/sbin:/sbin"


def test_which_finds_programs_and_returns_none_otherwise(fake: Callable[..., Path], tmp_path: Path) -> None:
    fake("thing")

    assert proc.which("thing") == tmp_path / "fakes" / "thing"
    assert proc.which("no-such-program") is None


def test_root_needs_no_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    assert privilege.as_root(["mount", Path("/x")]) == ("mount", Path("/x"))


def test_others_use_sudo_without_a_password_and_pass_the_marker_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert privilege.as_root(["mount"]) == ("sudo", "-n", "mount")

    monkeypatch.setenv(proc.RUN_MARKER, "run-1")
    assert privilege.as_root(["mount"]) == ("sudo", "-n", "env", "GOLDSMITH_RUN=run-1", "mount")


def test_a_program_that_runs_as_root_is_signalled_through_sudo(
    log: Path, monkeypatch: pytest.MonkeyPatch, fake: Callable[..., Path]
) -> None:
    kill = os.killpg
    calls = fake("sudo", 'shift; exec "$@"')

    def refused(_pid: int, _signum: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "killpg", refused)
    with proc.background(sh("sleep 60"), log_path=log) as process:
        pass
    monkeypatch.setattr(os, "killpg", kill)

    assert calls.read_text().splitlines() == [
        f"-n kill -TERM -- -{process.pid}",
        f"-n kill -KILL -- -{process.pid}",
    ]
    assert not is_running(process.pid)


def test_the_tests_use_a_real_shell() -> None:
    """Without sh the tests above would test nothing."""
    assert shutil.which("sh")


def test_an_unwritable_log_is_reported_after_the_program_has_ended(log: Path, tmp_path: Path) -> None:
    """On a full disk a program whose output nobody reads would hang, or die of a broken pipe."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400, before[1]))
    try:
        with pytest.raises(OSError, match="too large") as e:
            proc.run(sh(f"seq 20000; echo yes > {tmp_path}/ended"), log_path=log, timeout_s=20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert e.value.filename == str(log)
    assert (tmp_path / "ended").read_text() == "yes\n"


def test_stopping_an_ended_program_spares_the_next_process_with_its_number() -> None:
    stranger = subprocess.Popen(sh("sleep 60; :"), start_new_session=True)
    ours = subprocess.Popen(sh(":"))
    ours.wait()
    ours.pid = stranger.pid  # as if the numbers had gone round
    try:
        proc.stop(ours, 0)

        assert is_running(stranger.pid)
    finally:
        stranger.kill()
        stranger.wait()


def test_parts_of_lines_are_seen_as_they_come(tmp_path: Path) -> None:
    seen = []

    def see(part: str) -> None:
        seen.append(part)
        (tmp_path / "seen").touch()

    proc.follow(
        sh(
            rf"printf '  (1.00/100%%)\r'; until [ -e {tmp_path}/seen ]; do sleep 0.01; done;"
            r"printf '(2.00/100%%)\r\n\nthe '; printf end"
        ),
        on_part=see, timeout_s=20,
    )  # fmt: skip

    assert seen == ["  (1.00/100%)", "(2.00/100%)"]


def test_a_followed_program_that_fails_is_an_error_with_what_it_said_last() -> None:
    with pytest.raises(CommandError, match="exited with 3") as e:
        proc.follow(
            sh(r"printf '(1.00/100%%)\r'; echo broken >&2; exit 3"), on_part=lambda _: None, timeout_s=20
        )

    assert list(e.value.tail) == ["broken"]


def test_a_followed_program_has_a_deadline() -> None:
    with pytest.raises(CommandTimeout):
        proc.follow(sh("exec sleep 30"), on_part=lambda _: None, timeout_s=0.1)
