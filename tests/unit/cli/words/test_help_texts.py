# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from goldsmith.cli import collection
from goldsmith.cli.words import descriptions, help_texts
from goldsmith.cli.words.descriptions import Group

TASKS, CONTEXTS = collection.namespace.tasks, collection.contexts()


def of_task(name: str, width: int = 100, program: str = "goldsmith") -> str:
    return help_texts.of_task(program, TASKS[name], CONTEXTS[name], width)


@pytest.mark.parametrize("width", [60, 72, 100])
def test_no_line_of_any_help_is_wider_than_the_window(width: int) -> None:
    texts = [help_texts.of_program("scripts/inv", TASKS, width)]
    texts += [of_task(name, width, "scripts/inv") for name in TASKS]

    assert len(texts) > 30
    assert not [line for text in texts for line in text.splitlines() if len(line) > width]
    assert not [text for text in texts if "\x1b" in text]


def test_the_help_of_a_task_says_how_to_call_it() -> None:
    lines = of_task("verify-image").splitlines()

    assert lines[0] == "Usage: goldsmith verify-image FILE [OPTION...]"
    assert "  goldsmith verify-image my-image-amd64.qcow2 --tests my-tests" in lines
    assert "  FILE  the disk image, qcow2 or raw; nothing writes to it" in lines
    assert "Words (or as options: --file)" in lines
    options = "\n".join(lines[lines.index("Options") :])
    assert "      --fail-fast      the default: end after" in options
    assert "  -j, --json           print" in options
    assert "      --tests DIR      folder with more" in options
    assert "  -h, --help           show this help; nothing is started" in options
    assert "  6    verification failed" in lines
    assert not [line for line in lines if line.startswith("  9 ")]


def test_words_that_have_a_default_stand_in_brackets_and_inverse_options_as_they_are_typed() -> None:
    assert of_task("build-image").startswith("Usage: goldsmith build-image [NAME] [OPTION...]\n")
    assert of_task("builds").startswith("Usage: goldsmith builds [NAME] [OPTION...]\n")
    assert of_task("cloud-service").startswith("Usage: goldsmith cloud-service ACTION SERVICE [OPTION...]\n")
    assert of_task("lint").startswith("Usage: goldsmith lint [OPTION...]\n")
    assert "\n      --no-config-drive " in of_task("verify-heat")
    assert "\n      --upgrade[=PARTS]  parts of" in of_task("lock")


def test_commands_in_help_are_those_of_the_program_that_runs() -> None:
    assert 'eval "$(goldsmith cloud-env)"' in " ".join(of_task("cloud-env").split())
    assert "scripts/inv" not in "".join(map(of_task, TASKS))


def test_exit_codes_may_mean_something_else_in_a_task() -> None:
    assert "  6    a linter found something" in of_task("lint")


def test_all_tasks_are_listed_once_in_groups() -> None:
    lines = help_texts.of_program("goldsmith", TASKS, 100).splitlines()

    assert [line for line in lines if line in {group.value for group in Group}] == [g.value for g in Group]
    for name, task in TASKS.items():
        (at,) = [index for index, line in enumerate(lines) if line.startswith(f"  {name} ")]
        heading = next(line for line in reversed(lines[:at]) if not line.startswith(" "))
        assert heading == descriptions.of(task).group.value
    fewer = help_texts.of_program("goldsmith", {"plan": TASKS["plan"]}, 100).splitlines()
    assert [line for line in fewer if line in {group.value for group in Group}] == [Group.look.value]
    assert lines[0] == "Usage: goldsmith TASK [WORD...] [OPTION...]"
    assert lines[-1] == "goldsmith TASK --help shows options, an example and exit codes."
