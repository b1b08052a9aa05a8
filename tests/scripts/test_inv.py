# SPDX-License-Identifier: Apache-2.0
"""scripts/inv on a host made of fakes: what it misses, what it would run, where its environment is."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from goldsmith.core import cache
from goldsmith.core.paths import project_root

_SCRIPTS = project_root() / "scripts"
_PLACE = "environment_place /usr/bin/python3.99"


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """A folder of programs that is all of PATH, and a checkout with tables of its own."""

    folder: Path

    @property
    def checkout(self) -> Path:
        return self.folder / "a checkout"

    def has(self, name: str, body: str = "exit 0") -> None:
        program = self.folder / "bin" / name
        program.unlink(missing_ok=True)  # never through a link: what is behind it may be the system's own
        program.write_text(f"#!/bin/bash\n{body}\n")
        program.chmod(0o755)

    def borrows(self, *names: str) -> None:
        """Real programs, by scripts that call them: a link could be written through."""
        for name in names:
            self.has(name, f'exec "{_real(name)}" "$@"')

    def is_a(self, release: str) -> None:
        (self.folder / "os-release").write_text(release)

    def sh(self, script: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run script with the parts of scripts/inv sourced."""
        argv, full_env = self._call(script, env)
        return subprocess.run(
            argv,
            env=full_env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def at_a_terminal(self, script: str, answer: str) -> tuple[int, str]:
        """The same for somebody who types answer: exit status, and what the terminal showed."""
        argv, env = self._call(script, {})
        ours, theirs = os.openpty()
        with os.fdopen(ours, "r+b", buffering=0) as terminal:
            with subprocess.Popen(argv, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as shell:
                os.close(theirs)
                terminal.write(f"{answer}\n".encode())
                shown = bytearray()
                with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
                    while piece := terminal.read(4096):
                        shown += piece
            return shell.returncode, shown.decode().replace("\r", "")

    def _call(self, script: str, env: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
        parts = "".join(f'. "{part}"\n' for part in sorted((_SCRIPTS / "lib").glob("*.sh")))
        full_env = {
            "PATH": str(self.folder / "bin"), "HOME": str(self.folder / "home"),
            "OS_RELEASE": str(self.folder / "os-release"), **env,
        }  # fmt: skip
        return ["/bin/bash", "-euc", f'root="{self.checkout}"\nset -o pipefail\n{parts}{script}'], full_env


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(folder=tmp_path)
    (tmp_path / "bin").mkdir()
    made.borrows(
        "awk", "cat", "cut", "grep", "id", "mkdir", "paste", "readlink", "sha256sum", "sort", "timeout", "tr"
    )
    made.is_a("ID=debian\n")
    made.has("python3", "echo /usr/bin/python3")
    made.has("thing-tool")
    tables = made.checkout / "scripts"
    tables.mkdir(parents=True)
    (tables / "task-needs.tsv").write_text("# comment\nbuild\tdisk\nprove\tdisk test\n")
    (tables / "host-packages.tsv").write_text(
        "# comment\n"
        "python\t@python\tpython3 python3-venv\tpython3-u\tpython3-f\n"
        "disk vm\tthing-tool no-such-tool-1\tthing\tthing-u\tthing-f\n"
        "disk\tno-such-tool-2|no-such-tool-3\tother\tother-u\t-\n"
        "test\tno-such-tool-4\tpytest-tool\tpytest-u\tpytest-f\n"
    )
    return made


def _real(name: str) -> str:
    path = shutil.which(name, path="/usr/bin:/bin")
    assert path is not None
    return path


def test_no_program_of_the_test_host_is_a_link_to_one_of_the_system(host: Host) -> None:
    programs = list((host.folder / "bin").iterdir())

    assert programs
    assert [program.name for program in programs if program.is_symlink()] == []


def test_the_parts_are_short() -> None:
    parts = [_SCRIPTS / "inv", *(_SCRIPTS / "lib").glob("*.sh")]

    assert len(parts) > 5
    assert len((_SCRIPTS / "inv").read_text().splitlines()) < 40
    assert [part.name for part in parts if len(part.read_text().splitlines()) > 100] == []


@pytest.mark.parametrize(
    ("words", "task"),
    [
        ("build x --keep", "build"),
        ("--debug build", "build"),
        ("--list", ""),
        ("--help build", ""),
        ("build --help", ""),
        ("-l", ""),
        ("build x --cloud mine", ""),
        ("build --cloud=mine", ""),
    ],
)
def test_the_task_is_the_first_word_unless_something_is_only_to_be_told(
    host: Host, words: str, task: str
) -> None:
    assert host.sh(f"task_of {words}").stdout == task


def test_a_task_misses_what_its_needs_miss_and_nothing_else(host: Host) -> None:
    done = host.sh("missing_for 3 build")

    assert done.stdout.splitlines() == ["no-such-tool-1 thing", "no-such-tool-2|no-such-tool-3 other"]


def test_either_of_two_commands_will_do(host: Host) -> None:
    host.has("no-such-tool-3")

    assert "other" not in host.sh("missing_for 3 build").stdout


def test_a_task_that_the_table_does_not_know_needs_python_alone(host: Host) -> None:
    assert host.sh("require_host_packages false render x").returncode == 0


def test_without_a_python_that_makes_environments_one_is_asked_for(host: Host) -> None:
    host.has("python3", "exit 1")
    for minor in (11, 12, 13, 14):
        host.has(f"python3.{minor}", "exit 1")

    done = host.sh("require_host_packages false --list")

    assert done.returncode == 3
    assert "python3 python3-venv" in done.stderr


def test_a_newer_python_under_its_own_name_will_do(host: Host) -> None:
    host.has("python3", "exit 1")
    host.has("python3.11", "echo /opt/python3.11")

    assert host.sh("find_python").stdout == "/opt/python3.11\n"


def test_missing_packages_end_with_3_and_both_commands_to_type(host: Host) -> None:
    host.has("id", "echo 1000")
    done = host.sh("lists_are_missing() { false; }; require_host_packages false build 'a b' --keep")

    assert done.returncode == 3
    assert done.stdout == ""
    assert "sudo apt-get install --no-install-recommends other thing\n" in done.stderr
    assert "scripts/inv --yes build 'a b' --keep" in done.stderr


@pytest.mark.parametrize(
    ("release", "command"),
    [
        ("ID=ubuntu\nID_LIKE=debian\n", "apt-get install --no-install-recommends other-u thing-u"),
        (
            "ID=linuxmint\nID_LIKE='ubuntu debian'\n",
            "apt-get install --no-install-recommends other-u thing-u",
        ),
    ],
)
def test_package_names_are_those_of_the_distribution(host: Host, release: str, command: str) -> None:
    host.is_a(release)

    assert command in host.sh("require_host_packages false build").stderr


def test_fedora_is_asked_with_dnf(host: Host) -> None:
    host.is_a("ID=fedora\n")
    host.has("no-such-tool-2")

    assert "dnf install thing-f\n" in host.sh("require_host_packages false build").stderr


@pytest.mark.parametrize("release", ["ID=arch\n", "ID=fedora\n"])
def test_where_no_package_name_is_known_the_commands_are_named(host: Host, release: str) -> None:
    host.is_a(release)

    done = host.sh("require_host_packages true build")

    assert done.returncode == 3
    assert "no-such-tool-1 no-such-tool-2|no-such-tool-3" in done.stderr


def test_a_yes_installs_without_asking_and_keeps_stdout_clean(host: Host) -> None:
    bin_ = host.folder / "bin"
    host.has("id", "echo 0")
    host.borrows("env", "ln")
    host.has(
        "apt-get",
        f'echo "$DEBIAN_FRONTEND $*"; echo "$*" >> {host.folder}/calls\n'
        f"for n in 1 2; do ln -sf thing-tool {bin_}/no-such-tool-$n; done",
    )

    done = host.sh("lists_are_missing() { false; }; require_host_packages true build")

    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "noninteractive" in done.stderr
    assert (host.folder / "calls").read_text() == (
        "install --yes --no-install-recommends -o DPkg::Lock::Timeout=300 other thing\n"
    )


@pytest.mark.parametrize(
    ("answer", "status", "installs"), [("y", 0, True), ("YES", 0, True), ("n", 3, False), ("", 3, False)]
)
def test_at_a_terminal_it_is_asked_for(host: Host, answer: str, status: int, installs: bool) -> None:
    bin_, calls = host.folder / "bin", host.folder / "calls"
    host.has("id", "echo 0")
    host.borrows("env", "cp")
    host.has(
        "apt-get",
        f'echo "$1" >> {calls}; for n in 1 2; do cp {bin_}/thing-tool {bin_}/no-such-tool-$n; done',
    )

    ended, shown = host.at_a_terminal(
        "lists_are_missing() { false; }; require_host_packages false build", answer
    )

    assert ended == status
    assert "This would run: apt-get install --no-install-recommends other thing\n" in shown
    assert "Install them now? [y/N] " in shown
    assert calls.exists() is installs


def test_stale_lists_are_fetched_anew_and_it_is_tried_again(host: Host) -> None:
    host.has("id", "echo 0")
    host.borrows("env")
    host.has("apt-get", f'echo "$1" >> {host.folder}/calls; [ $(grep -c . {host.folder}/calls) != 1 ]')

    done = host.sh("lists_are_missing() { false; }; install_packages 3 'a b'")

    assert done.returncode == 0, done.stderr
    assert (host.folder / "calls").read_text().split() == ["install", "update", "install"]


def test_what_is_still_missing_after_an_installation_is_an_error(host: Host) -> None:
    host.has("id", "echo 0")
    host.borrows("env")
    host.has("apt-get")

    done = host.sh("require_host_packages true build")

    assert done.returncode == 3
    assert "still missing" in done.stderr


def test_the_environment_of_a_path_with_a_space_is_in_the_cache(host: Host) -> None:
    cache = host.folder / "cache"

    first = host.sh(_PLACE, GOLDSMITH_CACHE=str(cache)).stdout
    again = host.sh(_PLACE, GOLDSMITH_CACHE=str(cache)).stdout

    assert Path(first).parent == cache / "environments"
    assert first == again


def test_cleaning_the_cache_leaves_environments_alone(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLDSMITH_CACHE", str(host.folder / "cache"))
    place = Path(host.sh(_PLACE, GOLDSMITH_CACHE=str(host.folder / "cache")).stdout)
    place.mkdir(parents=True)
    (place / "pyvenv.cfg").touch()
    broken = host.folder / "cache" / "bundle" / "0"
    broken.mkdir(parents=True)
    (broken / ".files.json").write_text('{"lost": "0"}')

    cache.clean_cache(older_than_days=0)

    assert place.exists()
    assert not broken.exists()


def test_the_environment_of_a_plain_path_is_in_the_checkout(host: Host) -> None:
    plain = host.folder / "plain"
    plain.mkdir()

    place = Path(host.sh(f"root={plain}; {_PLACE}").stdout)

    assert place.parent == plain
    assert re.fullmatch(r"\.venv-python3\.99-[0-9a-f]{8}", place.name)


def test_each_interpreter_has_an_environment_and_a_link_to_one_is_the_same(host: Host) -> None:
    for name in ("python-a", "python-b"):
        host.has(name)
    (host.folder / "bin/python-link").symlink_to("python-a")
    plain = host.folder / "plain"
    plain.mkdir()
    for root in (plain, host.checkout):  # in the checkout, and in the cache
        places = [
            host.sh(f"root='{root}'; environment_place {host.folder}/bin/{name}").stdout
            for name in ("python-a", "python-b", "python-link")
        ]

        assert places[0] != places[1]
        assert places[0] == places[2]


@pytest.mark.parametrize(
    "before", ["nothing", "a link", "a dangling link", "an environment of an earlier version"]
)
def test_a_link_leads_to_the_environment_of_the_last_start(host: Host, before: str) -> None:
    plain, venv = linked_checkout(host, before)

    done = host.sh(f"root={plain}; link_environment {venv}")

    assert done.returncode == 0, done.stderr
    assert (plain / ".venv").readlink() == Path(venv.name)


@pytest.mark.parametrize("before", ["a folder of the user's", "a file", "an earlier version's, in use"])
def test_what_is_not_ours_or_in_use_stays_where_the_link_would_be(host: Host, before: str) -> None:
    plain, venv = linked_checkout(host, before)
    holds = f"exec 8< {plain}/.venv; flock --shared 8; " if "in use" in before else ""

    done = host.sh(f"{holds}root={plain}; link_environment {venv}")

    assert done.returncode == 0, done.stderr
    assert not (plain / ".venv").is_symlink()
    assert (plain / ".venv").is_file() or (plain / ".venv/kept").exists()


def test_an_environment_outside_the_checkout_gets_no_link(host: Host) -> None:
    done = host.sh(f'root="{host.checkout}"; link_environment {host.folder}/environments/0')

    assert done.returncode == 0, done.stderr
    assert not (host.checkout / ".venv").is_symlink()


def linked_checkout(host: Host, before: str) -> tuple[Path, Path]:
    """A checkout with something at .venv, and its environment."""
    host.borrows("flock", "rm", "ln")
    plain = host.folder / "plain"
    venv, link = plain / ".venv-python3.11-0a1b2c3d", plain / ".venv"
    venv.mkdir(parents=True)
    match before:
        case "a link" | "a dangling link":
            link.symlink_to("." if before == "a link" else "nowhere")
        case "a file":
            link.touch()
        case "nothing":
            pass
        case _:
            link.mkdir()
            (link / "kept").touch()
            if "earlier version" in before:
                (link / "goldsmith-stamp").touch()
    return plain, venv


def test_the_environment_follows_the_users_cache_folder(host: Host) -> None:
    placed = host.sh(_PLACE, XDG_CACHE_HOME="/xdg").stdout

    assert placed.startswith("/xdg/goldsmith/environments/")


def test_a_cache_with_a_space_in_its_path_is_no_place_either(host: Host) -> None:
    placed = host.sh(f'private_folder() {{ printf %s "$1"; }}; {_PLACE}', GOLDSMITH_CACHE="/c a/che").stdout

    assert placed.startswith(f"/var/tmp/goldsmith-{os.geteuid()}/environments/")


def test_a_folder_of_somebody_elses_is_refused(host: Host) -> None:
    (host.folder / "mine").mkdir()
    (host.folder / "link").symlink_to("mine")

    assert host.sh(f"private_folder {host.folder}/mine").returncode == 0
    assert host.sh(f"private_folder {host.folder}/link").returncode == 3


@pytest.mark.parametrize(
    ("value", "status"), [("true", 0), ("1", 0), ("", 1), ("0", 1), ("False", 1), ("no", 1)]
)
def test_ci_is_true_or_not(host: Host, value: str, status: int) -> None:
    assert host.sh(f"is_true '{value}'").returncode == status


def fake_python(host: Host, takes_s: float = 0) -> None:
    """A Python whose environments and pip are notes in a file."""
    calls = host.folder / "calls"
    python = host.folder / "bin" / "python3"
    host.borrows("flock", "rm", "cp", "sleep")
    for name in ("requirements.lock", "pyproject.toml"):
        (host.checkout / name).write_text("locked\n")
    host.has(
        "python3",
        f'case "$*" in\n'
        f'*" venv "*) echo venv >> {calls}; sleep {takes_s}; mkdir -p "${{@: -1}}/bin"; '
        f'cp {python} "${{@: -1}}/bin/python";;\n'
        f"*require-hashes*) echo pip >> {calls}; [ ! -e {host.folder}/broken ];;\n"
        f'*sys.executable*) echo "$0 3.11";;\n'
        f"*sys.version*) echo 3.11;;\n"
        f"esac",
    )


_ENTER = 'enter_environment python3 "$HOME/venv"'


def test_an_environment_is_made_once(host: Host) -> None:
    fake_python(host)

    first, second = host.sh(_ENTER), host.sh(_ENTER)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "making the environment" in first.stderr
    assert second.stderr == ""
    assert (host.folder / "calls").read_text().split() == ["venv", "pip"]


def test_an_environment_is_made_anew_when_the_lock_file_changed(host: Host) -> None:
    fake_python(host)
    host.sh(_ENTER)
    (host.checkout / "requirements.lock").write_text("other\n")

    host.sh(_ENTER)

    assert (host.folder / "calls").read_text().split() == ["venv", "pip"] * 2


def test_another_path_to_the_same_python_is_no_reason_to_make_it_anew(host: Host) -> None:
    fake_python(host)
    other = host.folder / "bin" / "other-python"
    host.sh(_ENTER)
    shutil.copy(host.folder / "bin" / "python3", other)

    host.sh(_ENTER.replace("python3", str(other)))

    assert (host.folder / "calls").read_text().split() == ["venv", "pip"]


def test_an_environment_that_was_not_finished_is_made_anew(host: Host) -> None:
    fake_python(host)
    (host.folder / "broken").touch()
    failed = host.sh(_ENTER)
    (host.folder / "broken").unlink()

    again = host.sh(_ENTER)

    assert (failed.returncode, again.returncode) == (3, 0)
    assert (host.folder / "calls").read_text().split() == ["venv", "pip"] * 2


def test_two_starts_at_once_make_one_environment(host: Host) -> None:
    fake_python(host, takes_s=0.3)

    done = host.sh(f"({_ENTER}) & ({_ENTER}) & wait $!; wait")

    assert done.returncode == 0, done.stderr
    assert (host.folder / "calls").read_text().split() == ["venv", "pip"]


def test_an_environment_in_which_a_task_runs_is_not_taken_away(host: Host) -> None:
    fake_python(host)
    calls, lock = host.folder / "calls", host.checkout / "requirements.lock"
    host.sh(_ENTER)

    done = host.sh(
        f"({_ENTER}; echo running >> {calls}; sleep 0.5; echo ended >> {calls}) &\n"
        f"until grep -q running {calls}; do sleep 0.05; done\n"
        f'echo other > "{lock}"\n{_ENTER}\nwait'
    )

    assert done.returncode == 0, done.stderr
    assert "waiting for a task" in done.stderr
    assert calls.read_text().split() == ["venv", "pip", "running", "ended", "venv", "pip"]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("", 0),
        ("--help", 0),
        ("build x --help", 0),
        ("build -h x", 0),
        ("--help=build", 0),
        ("help build", 0),
        ("-l", 0),
        ("build --version", 0),
        ("completion bash", 0),
        ("--complete build ''", 0),
        ("kubelet-bump --version 1.2.3", 1),
        ("build", 1),
        ("build help", 1),
        ("build -- --help", 1),
        ("--debug build", 1),
    ],
)
def test_it_is_known_which_words_start_nothing(host: Host, words: str, status: int) -> None:
    assert host.sh(f"starts_nothing {words}").returncode == status


def copied_checkout(host: Host, *, stamp: str | None) -> Path:
    """A checkout with our scripts, and an environment whose Python prints its words. stamp: its last line."""
    plain = host.folder / "plain"
    shutil.copytree(_SCRIPTS, plain / "scripts")
    host.borrows("dirname", "readlink", "tail")
    host.has("python3", "exit 1")
    for minor in (11, 12, 13, 14):
        host.has(f"python3.{minor}", "exit 1")
    if stamp is not None:
        python = plain / ".venv-python3.11-0a1b2c3d/bin/python"
        python.parent.mkdir(parents=True)
        python.write_text('#!/bin/bash\necho "$@"\n')
        python.chmod(0o755)
        (plain / ".venv").symlink_to(".venv-python3.11-0a1b2c3d")
        (plain / ".venv/goldsmith-stamp").write_text(f"of another lock file\n{stamp}\n")
    return plain


@pytest.mark.parametrize("words", ["build-image my-image --help", "--complete pl", ""])
def test_help_takes_any_finished_environment_and_needs_nothing_of_the_host(host: Host, words: str) -> None:
    plain = copied_checkout(host, stamp=str(host.folder / "plain"))

    done = host.sh(f"/bin/bash {plain}/scripts/inv {words}")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"-P -m goldsmith.cli.program {words or '--list'}\n"


@pytest.mark.parametrize("stamp", [None, "/another/checkout"])
def test_without_an_environment_help_asks_for_one_and_a_tab_for_nothing(
    host: Host, stamp: str | None
) -> None:
    plain = copied_checkout(host, stamp=stamp)

    asked = host.sh(f"/bin/bash {plain}/scripts/inv build-image --help")
    tab = host.sh(f"/bin/bash {plain}/scripts/inv --complete pl")

    assert asked.returncode == 3
    assert "scripts/inv needs host packages that are missing: python3 python3-venv\n" in asked.stderr
    assert (tab.returncode, tab.stdout, tab.stderr) == (1, "", "")


def test_a_task_takes_no_environment_of_another_lock_file(host: Host) -> None:
    plain = copied_checkout(host, stamp=str(host.folder / "plain"))

    done = host.sh(f"/bin/bash {plain}/scripts/inv render my-image")

    assert (done.returncode, done.stdout) == (3, "")


def test_the_users_own_relative_paths_stay_theirs() -> None:
    assert "cd " not in (_SCRIPTS / "inv").read_text().split("root=")[1].split("\n", 1)[1]


@pytest.mark.parametrize(("words", "ci", "yes"), [
    ("build", "", "false"), ("--yes build", "", "true"), ("build", "true", "true"),
    ("build --yes", "0", "false"),
])  # fmt: skip
def test_a_first_yes_or_a_ci_agrees_to_what_is_missing(host: Host, words: str, ci: str, yes: str) -> None:
    script = f"agree_to_install() {{ echo $1; exit 0; }}; provide_host_packages {words}"

    assert host.sh(script, CI=ci).stdout == f"{yes}\n"


def test_an_installed_goldsmith_asks_for_the_same_packages_in_its_own_name(host: Host) -> None:
    host.borrows("bash", "dirname")
    host.has("id", "echo 0")
    host.has("python3", "exit 1")  # no reason for a goldsmith that runs
    shutil.copytree(_SCRIPTS / "lib", host.checkout / "scripts/lib")
    script = shutil.copy(_SCRIPTS / "host-packages", host.checkout / "scripts")

    done = host.sh(f"bash '{script}' build x")
    nothing = host.sh(f"bash '{script}' render x")

    assert (done.returncode, nothing.returncode) == (3, 0), nothing.stderr
    assert "apt-get install --no-install-recommends other thing\n" in done.stderr
    assert "or let it be done: goldsmith --yes build x\n" in done.stderr
