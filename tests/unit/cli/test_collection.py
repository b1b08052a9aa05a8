# SPDX-License-Identifier: Apache-2.0
"""Rules for all tasks: what their options mean, and what their help says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from invoke.context import Context
from invoke.tasks import task

from goldsmith.cli import collection
from goldsmith.cli.words import descriptions, parsing
from goldsmith.cli.words.parsing import Asked
from goldsmith.core import paths
from goldsmith.core.paths import project_root
from tests.support import installed

TASKS = collection.contexts()
OF_DEVELOPERS = {"bench", "lint", "soak", "test"}
OF_THE_PROGRAM = {"h", "l", "V", "y"}
DESTROYS = {
    "cache-max-size", "cache-older-than", "clean", "force", "from", "import", "keep-builds", "refresh", "to",
    "upgrade",
}  # fmt: skip


def shorts() -> set[tuple[str, str]]:
    """Every short option of every task, with its long one."""
    return {
        (short, argument.names[0])
        for context in TASKS.values()
        for argument in context.args.values()
        for short in argument.names[1:]
    }


def test_a_short_option_means_one_thing_in_all_tasks() -> None:
    assert shorts() == {("b", "build"), ("c", "cloud"), ("j", "json"), ("o", "out"), ("v", "var")}
    for name, context in TASKS.items():
        for argument in context.args.values():
            wanted = collection.SHORT.get(argument.names[0])
            assert argument.names[1:] == ((wanted,) if wanted else ()), name


def test_no_short_option_destroys_or_hides_one_of_the_program() -> None:
    every = {argument.names[0] for context in TASKS.values() for argument in context.args.values()}
    assert every >= DESTROYS

    assert not DESTROYS & {long for _, long in shorts()}
    assert not OF_THE_PROGRAM & {short for short, _ in shorts()}
    program = {word[1:] for word in (*parsing.HELP, *parsing.LIST, *parsing.VERSION) if len(word) == 2}
    assert program < OF_THE_PROGRAM


def test_two_tasks_of_one_name_are_refused() -> None:
    @task()
    def plan(c: Context) -> None:
        """Another one."""

    module = type("module", (), {"first": plan, "second": plan})
    with pytest.raises(ValueError, match="plan"):
        collection.of(module)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_a_group_an_example_and_exit_codes(name: str) -> None:
    found = descriptions.of(collection.namespace.tasks[name])

    call = parsing.read(found.example.split(), TASKS)
    assert call.asked is Asked.task
    assert call.task is not None
    assert call.task.name == name
    assert {0, 1, 2, 3, 130} <= found.exit_codes().keys() <= descriptions.EXIT_CODES.keys()


def test_the_page_on_the_command_line_has_the_same_exit_codes() -> None:
    text = (project_root() / "docs/command-line.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", text, re.MULTILINE)

    assert rows
    assert {int(code): said.replace("`", "").replace("\\|", "|") for code, said in rows} == {
        code: said for code, said in descriptions.EXIT_CODES.items() if code
    }


def test_the_page_on_the_command_line_has_every_task_in_its_group() -> None:
    text = (project_root() / "docs/command-line.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([\w ]+) \| (`.+`) \|$", text, re.MULTILINE))

    for group in descriptions.Group:
        named = set(re.findall(r"`([a-z-]+)`", rows[group.name]))
        tasks = collection.namespace.tasks
        assert named == {name for name in tasks if descriptions.of(tasks[name]).group is group}


def test_the_page_on_the_command_line_has_every_short_option() -> None:
    text = (project_root() / "docs/command-line.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `-(\w)` \| `--([\w-]+)` \|", text, re.MULTILINE))

    assert rows == shorts() | {("h", "help"), ("l", "list"), ("V", "version")}


def test_tasks_that_run_tests_are_offered_in_a_checkout_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = set(collection.namespace.tasks)
    installed.pretend(tmp_path, monkeypatch)

    assert set(collection.offered().tasks) == everything - OF_DEVELOPERS
    assert everything > OF_DEVELOPERS


def test_help_texts_name_commands_and_pages_as_they_are_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed.pretend(tmp_path, monkeypatch)
    found = collection.offered().tasks

    assert "goldsmith cloud-env" in (found["cloud-env"].__doc__ or "")
    assert found["stack-procedure"].help["procedure"].endswith(f"{paths.shipped()}/docs/heat.md")
    assert "scripts/inv cloud-env" in (collection.namespace.tasks["cloud-env"].__doc__ or "")
