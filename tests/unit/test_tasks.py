# SPDX-License-Identifier: Apache-2.0
"""The command line as a user types it."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from invoke.main import program
from invoke.parser.argument import Argument

from goldsmith import pipeline
from goldsmith.build import values
from goldsmith.core.paths import project_root
from goldsmith.errors import HostError

sys.path.insert(0, str(project_root()))  # where Invoke finds tasks.py
import tasks

TASKS = {
    "bench", "boot", "build-image", "clean", "cloud-down", "cloud-env", "cloud-service", "cloud-status",
    "cloud-up", "doctor", "export-images", "kubelet-bump", "lint", "plan",
    "render", "soak", "test", "verify-heat", "verify-image",
}  # fmt: skip


Invoke = Callable[..., tuple[int, str, str]]


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Invoke]:
    """Run Invoke in the checkout; return exit code, standard output and standard error."""
    monkeypatch.chdir(project_root())
    before = signal.getsignal(signal.SIGTERM)

    def run(*words: str) -> tuple[int, str, str]:
        try:
            program.run(["invoke", *words])
        except SystemExit as e:
            code = e.code
        else:
            code = 0
        out, err = capsys.readouterr()
        return int(code or 0), out, err

    yield run
    signal.signal(signal.SIGTERM, before)


@functools.cache
def arguments() -> dict[str, list[Argument]]:
    """The arguments of every task, which keeps its help texts: Invoke removes them as it reads them."""
    found = {}
    for name, task in tasks.namespace.tasks.items():
        texts = dict(task.help)
        found[name] = task.get_arguments()
        task.help = texts
    return found


arguments()  # before Invoke parses the tasks, which it shares with these tests


def test_every_task_is_listed_with_a_sentence() -> None:
    argv = [sys.executable, "-B", "-m", "invoke", "--list"]

    done = subprocess.run(argv, cwd=project_root(), capture_output=True, text=True, check=False)

    listed = re.findall(r"^  ([a-z-]+)  +(\S.*)$", done.stdout, re.MULTILINE)
    assert {name for name, _ in listed} >= TASKS, done.stdout + done.stderr


def test_modules_of_tasks_import_no_room_before_a_task_runs() -> None:
    """--list and --help answer at once."""
    script = "import sys, tasks; print(*sys.modules)"

    argv = [sys.executable, "-B", "-c", script]
    done = subprocess.run(argv, cwd=project_root(), capture_output=True, text=True, check=True)

    ours = {name.split(".")[1] for name in done.stdout.split() if name.startswith("goldsmith.")}
    assert ours == {"cli", "core", "errors", "spec"}
    assert not {"docker", "jinja2", "openstack", "pytest", "cyclonedx"} & set(done.stdout.split())


def test_a_spec_is_rendered_by_its_name_and_by_default(invoke: Invoke) -> None:
    code, named, err = invoke("render", "debian-kubelet")

    assert code == 0, err
    assert "name: debian-kubelet" in named
    assert invoke("render")[1] == named


def test_a_plan_is_printed_as_data_for_programs(invoke: Invoke) -> None:
    _, out, _ = invoke("plan", "--json", "--var", "embed=archive", "--var", "release=sid")

    answer = json.loads(out)
    assert (answer["schema"], answer["version"]) == ("goldsmith.plan", 1)
    assert (answer["embed"], answer["image"]["env"]["DIB_RELEASE"]) == ("archive", "sid")
    assert answer["image"]["argv"][0] == "disk-image-create"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("render", "debian-kublet"), 2, "did you mean 'debian-kubelet'?"),
        (("plan", "--var", "embed"), 2, "NAME=VALUE"),
        (("build-image", "--from", "somewhere"), 2, "no stage is called 'somewhere'"),
        (("verify-image", "no-such.qcow2"), 2, "there is no disk image"),
        (("boot", "never-built"), 2, "no verified build of never-built"),
        (("sign", "never-built"), 2, "no private key is given"),
        (("verify-image", "x", "--fail-fast", "--keep-going"), 2, "exclude each other"),
        (("no-such-task",), 2, "there is no task no-such-task"),
        (("build-imag",), 2, "did you mean build-image?"),
        (("--help", "build-imag"), 2, "did you mean build-image?"),
        (("--var=a=b", "plan"), 2, "--var belongs after a task\nhint: write: scripts/inv TASK --var"),
        (("--vars", "plan"), 2, "there is no option --vars"),
        (("plan", "--vars", "a=b"), 2, "plan has no option --vars\nhint: did you mean --var?"),
        (("build-image", "--no-such"), 2, "build-image has no option --no-such"),
        (("render", "a", "b"), 2, "render does not take the word 'b'"),
        (("diff", "old"), 2, "diff needs NEW"),
        (("boot", "--memory", "much"), 2, "--memory takes a whole number, got 'much'"),
        (("clean", "--cache-max-size=20"), 2, "--cache-max-size takes a size, got '20'"),
        (("clean", "--cache-older-than=x"), 2, "--cache-older-than takes a number, got 'x'"),
        (("sign", "--key"), 2, "--key needs a value"),
    ],
)
def test_mistakes_end_with_a_message_and_their_code(
    invoke: Invoke, words: tuple[str, ...], code: int, message: str
) -> None:
    ended, out, err = invoke(*words)

    assert ended == code
    assert message in err
    assert out == ""


def test_options_that_may_be_repeated_are_lists_of_whole_words() -> None:
    kinds = [
        argument.kind for name in TASKS for argument in arguments()[name] if argument.name in {"var", "tests"}
    ]

    assert kinds == [list] * 5


def test_every_option_has_a_default() -> None:
    """Lists are empty by default; cli.collection has defaults of positional arguments."""
    without = {
        f"{name} {a.name}"
        for name, found in arguments().items()
        for a in found
        if a.default is None and not a.positional and a.kind is not list
    }

    assert not without


def test_every_flag_has_a_help_text() -> None:
    without = {f"{name} {a.name}" for name, found in arguments().items() for a in found if not a.help}

    assert not without


def test_a_mistake_is_json_for_programs(invoke: Invoke) -> None:
    code, out, _ = invoke("plan", "debian-kublet", "--json")

    assert json.loads(out)["code"] == code == 2


@pytest.mark.parametrize(
    "words", [("plan", "--json", "--no-such"), ("no-such-task", "--json"), ("diff", "--json", "old")]
)
def test_a_mistake_in_the_words_is_json_too(invoke: Invoke, words: tuple[str, ...]) -> None:
    code, out, err = invoke(*words)

    answer = json.loads(out)
    assert (answer["code"], answer["retryable"], code) == (2, False, 2)
    assert answer["message"] in err


def test_json_belongs_after_a_task(invoke: Invoke) -> None:
    _, out, _ = invoke("--json")

    assert json.loads(out)["message"] == "--json belongs after a task"


def test_a_value_that_looks_like_an_option_follows_an_equals_sign(invoke: Invoke) -> None:
    code, out, err = invoke("render", "--var", "--release=sid")

    assert (code, out) == (2, "")
    assert "error: --var needs a value, got '--release=sid'\nhint: write --var=--release=sid" in err
    assert "no template uses the given variable '--release'" in invoke("render", "--var=--release=sid")[2]


def test_cleaning_an_empty_host_reports_that_there_is_nothing_to_remove(invoke: Invoke) -> None:
    assert invoke("clean")[1] == "nothing to remove\n"


def test_out_is_an_option_of_the_build_and_changes_no_environment(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before, asked = dict(os.environ), []

    def refuse(_name: str, options: values.Options) -> None:
        asked.append((options.out, options.keep_going, dict(os.environ)))
        raise HostError("no loop device")

    monkeypatch.setattr(pipeline, "build", refuse)

    code, _, _ = invoke("build-image", "--keep-going", "--out", str(tmp_path / "elsewhere"))

    assert code == 3
    assert asked == [(tmp_path / "elsewhere", True, before)]
