# SPDX-License-Identifier: Apache-2.0
"""testinfra's modules over the channel; a fake ssh starts a shell of this host."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import testinfra
from testinfra.backend import BACKENDS
from testinfra.host import Host

from goldsmith.verify import channel

pytestmark = pytest.mark.programs("sh")

FAKE_SSH = """\
[ ! -e "$(dirname "$0")/unreachable" ] || { echo 'port 22: Connection refused' >&2; exit 255; }
for last; do :; done
exec sh -c "$last"
"""
FAKE_SUDO = 'if [ "$1" = -u ]; then export SUDO_USER=$2; shift 2; fi; exec "$@"'


@pytest.fixture
def calls(fake: Callable[..., Path]) -> Path:
    fake("sudo", FAKE_SUDO)
    return fake("ssh", FAKE_SSH)


@pytest.fixture
def host(calls: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setitem(BACKENDS, "ssh", f"{channel.__name__}.ChannelBackend")
    found = testinfra.get_host("ssh://guest", sudo=True, ssh_config="/the/config")
    yield found
    if found.backend._shell is not None:
        found.backend._shell._close()
        found.backend._shell = None  # testinfra gives out the same host again


def test_all_commands_share_one_login(host: Host, calls: Path) -> None:
    assert [host.check_output(f"echo {n}") for n in range(5)] == list("01234")

    (login,) = calls.read_text().splitlines()
    assert login.startswith("-F /the/config ")
    assert login.endswith("guest sudo /bin/sh -c 'exec /bin/sh'")


@pytest.mark.parametrize(
    "text",
    ["", "\n", "a\n\nb\n", "no end of line", "'quotes\" $HOME `id` \\n %s %%", "ünï\n", " \t", "x" * 300_000],
)
def test_outputs_are_byte_for_byte_those_of_the_command(text: str, host: Host, tmp_path: Path) -> None:
    (tmp_path / "out").write_text(text)

    result = host.run("cat %s; cat %s >&2", str(tmp_path / "out"), str(tmp_path / "out"))

    assert (result.rc, result.stdout, result.stderr) == (0, text, text)


def test_bytes_that_are_no_text_come_as_they_are(host: Host) -> None:
    assert host.run(r"printf '\000\377\012'").stdout_bytes == b"\0\xff\n"


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("true", 0),
        ("exit 7", 7),
        ("kill -9 $$", 137),
        ("no-such-program", 127),
        ("if then", 2),
        ("set -e; false; :", 1),
    ],
)
def test_a_command_ends_with_its_own_status_and_the_shell_stays(
    command: str, status: int, host: Host
) -> None:
    assert host.run(command).rc == status
    assert host.check_output("echo still here") == "still here"


def test_a_command_changes_nothing_for_the_next_one(host: Host) -> None:
    host.run("cd /tmp; variable=1; export variable; umask 0; exec 2>&-")

    assert host.check_output("pwd; echo $variable") == str(Path.cwd())
    assert host.run("echo error >&2").stderr == "error\n"


def test_a_command_reads_nothing_of_the_following_ones(host: Host) -> None:
    assert host.run("cat").stdout == ""
    assert host.check_output("echo next") == "next"


def test_several_lines_are_one_command(host: Host) -> None:
    assert host.check_output("cat <<'end'\n$a\nend\necho b") == "$a\nb"


def test_what_runs_on_behind_a_command_does_not_hold_it_up(host: Host) -> None:
    start = time.monotonic()
    host.check_output("sleep 30 & echo $! > %s", os.devnull)

    assert host.check_output("echo next") == "next"
    assert time.monotonic() - start < 20


def test_late_output_of_an_earlier_command_is_not_that_of_the_next(host: Host, tmp_path: Path) -> None:
    host.check_output("(while [ ! -e %s ]; do sleep 0.01; done; echo late) &", str(tmp_path / "now"))
    (tmp_path / "now").touch()
    time.sleep(0.1)

    assert host.check_output("echo mine") == "mine"


def test_another_user_is_asked_for_in_the_same_shell(host: Host, calls: Path) -> None:
    with host.sudo("debian"):
        assert host.check_output("echo $SUDO_USER") == "debian"
    assert host.check_output("echo ${SUDO_USER-none}") == "none"
    assert len(calls.read_text().splitlines()) == 1


def test_a_lost_connection_is_named_and_made_again(host: Host, calls: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)lost during a command: .*going down"):
        host.run("echo going down >&2; kill -9 $PPID")

    assert host.check_output("echo back") == "back"
    assert len(calls.read_text().splitlines()) == 2


def test_a_host_that_cannot_be_reached_is_named(host: Host, calls: Path) -> None:
    (calls.parent / "fakes/unreachable").touch()

    with pytest.raises(RuntimeError, match=r"(?s)connection to the VM was lost.*"):
        host.run("true")


def test_modules_of_testinfra_work(host: Host, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text\n")

    assert host.file(str(tmp_path / "file")).content_string == "text\n"
    assert host.file(str(tmp_path / "none")).exists is False
    assert host.exists("sh")
