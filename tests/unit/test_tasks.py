# SPDX-License-Identifier: Apache-2.0
"""The command line as a user types it, in a process of its own."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys

import pytest
from invoke.parser.argument import Argument
from invoke.tasks import Task

from goldsmith.workspace import project_root

sys.path.insert(0, str(project_root()))  # where Invoke finds tasks.py
import tasks

TASKS = {
    "bench", "boot", "build-image", "clean", "doctor", "export-images", "kubelet-bump", "lint", "plan",
    "render", "soak", "test", "verify-image",
}  # fmt: skip


def invoke(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-B", "-m", "invoke", *words]
    return subprocess.run(
        argv, cwd=project_root(), capture_output=True, text=True, check=False, env=dict(os.environ)
    )


@functools.cache
def arguments() -> dict[str, list[Argument]]:
    """Of every task; Invoke hands the help out once only."""
    found = (task for task in vars(tasks).values() if isinstance(task, Task))
    return {task.name.replace("_", "-"): task.get_arguments() for task in found}


def test_the_tasks_are_listed_each_with_a_sentence() -> None:
    done = invoke("--list")

    listed = re.findall(r"^  ([a-z-]+)(?: \(.*\))?   +(\S.*)$", done.stdout, re.MULTILINE)
    assert {name for name, _ in listed} >= TASKS, done.stdout + done.stderr


def test_a_spec_is_rendered_by_its_name_and_by_default() -> None:
    named, default = invoke("render", "debian-kubelet"), invoke("render")

    assert named.returncode == 0, named.stderr
    assert "name: debian-kubelet" in named.stdout
    assert default.stdout == named.stdout


def test_a_plan_is_printed_as_data_for_programs() -> None:
    done = invoke("plan", "--json", "--var", "embed=archive", "--var", "release=sid")

    answer = json.loads(done.stdout)
    assert (answer["schema"], answer["version"]) == ("goldsmith.plan", 1)
    assert (answer["embed"], answer["image"]["env"]["DIB_RELEASE"]) == ("archive", "sid")
    assert answer["image"]["argv"][0] == "disk-image-create"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("render", "debian-kublet"), 2, "did you mean 'debian-kubelet'?"),
        (("plan", "--var", "embed"), 2, "NAME=VALUE"),
        (("build-image", "--from", "somewhere"), 2, "no stage is called 'somewhere'"),
        (("verify-image", "no-such.qcow2"), 2, "there is no disk image"),
        (("boot", "never-built"), 2, "no build of never-built"),
    ],
)
def test_mistakes_end_with_a_sentence_and_their_code(words: tuple[str, ...], code: int, said: str) -> None:
    done = invoke(*words)

    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_what_may_be_repeated_is_a_list_of_whole_words() -> None:
    kinds = [
        argument.kind for name in TASKS for argument in arguments()[name] if argument.name in {"var", "tests"}
    ]

    assert kinds == [list] * 5


def test_every_flag_has_a_help_text() -> None:
    without = {f"{name} {a.name}" for name, found in arguments().items() for a in found if not a.help}

    assert not without


def test_a_mistake_is_json_for_programs() -> None:
    done = invoke("plan", "debian-kublet", "--json")

    assert json.loads(done.stdout)["code"] == done.returncode == 2


def test_cleaning_an_empty_host_says_so() -> None:
    assert invoke("clean").stdout == "nothing to remove\n"
