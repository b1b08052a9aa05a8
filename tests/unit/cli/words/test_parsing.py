# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from goldsmith.cli import collection
from goldsmith.cli.words import parsing
from goldsmith.cli.words.parsing import Asked
from goldsmith.errors import SpecError

TASKS = collection.contexts()


def read(*words: str) -> dict[str, object]:
    """The arguments of the task that is called."""
    call = parsing.read(words, TASKS)
    assert call.asked is Asked.task
    assert call.task is not None
    return dict(call.task.as_kwargs)


def mistake(*words: str) -> str:
    with pytest.raises(SpecError) as e:
        parsing.read(words, TASKS)
    assert e.value.exit_code == 2
    return f"{e.value}; {e.value.hint}"


@pytest.mark.parametrize("task", TASKS)
def test_help_of_every_task_starts_nothing_wherever_it_stands(task: str) -> None:
    for words in (
        (task, "--help"), (task, "-h"), ("--help", task), ("-h", task), ("help", task), (f"--help={task}",),
        (task, "a-word", "--help"), (task, "--no-such", "-h"), (task, "--out", "--help"),
        (task, "--json", "--help", "another", "word"), (task, "--help", "--out"), (task, "--help", "--"),
        (task, "--version", "--help"), (task, "--help", "plan"),
    ):  # fmt: skip
        call = parsing.read(words, TASKS)

        assert call.asked is Asked.help, words
        assert call.task is TASKS[task], words


@pytest.mark.parametrize("words", [("--help",), ("-h",), ("help",), ("--help", "--list"), ("--list", "-h")])
def test_help_without_a_task_is_that_of_the_program(words: tuple[str, ...]) -> None:
    assert parsing.read(words, TASKS) == parsing.Call(Asked.help)


def test_help_of_a_task_behind_an_option_is_found() -> None:
    assert parsing.read(("--var", "a=b", "plan", "--help"), TASKS).task is TASKS["plan"]


def test_behind_two_dashes_words_are_no_options() -> None:
    assert read("render", "--", "--help")["name"] == "--help"
    assert read("diff", "--json", "--", "-old", "--new")["old"] == "-old"


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ((), Asked.list),
        (("--list",), Asked.list),
        (("-l",), Asked.list),
        (("--version",), Asked.version),
        (("-V",), Asked.version),
        (("build-image", "--version"), Asked.version),
        (("build-image", "x", "-V"), Asked.version),
        (("build-image", "--list"), Asked.list),
    ],
)
def test_the_programs_own_options_start_nothing_either(words: tuple[str, ...], asked: Asked) -> None:
    assert parsing.read(words, TASKS).asked is asked


def test_a_task_may_have_an_option_of_the_same_name() -> None:
    assert read("kubelet-bump", "--version", "1.35.4") == {"version": "1.35.4"}


@pytest.mark.parametrize(
    "words",
    [
        ("build-image", "mine", "--out", "there", "--var", "a=1", "--var=b=2", "--json"),
        ("build-image", "-j", "-o", "there", "-va=1", "-v", "b=2", "mine"),
        ("build-image", "-jothere", "-v=a=1", "-vb=2", "mine"),
        ("build-image", "--name", "mine", "-o=there", "-jva=1", "--var", "b=2"),
        ("build-image", "--name=mine", "--out=there", "-j", "--var", "a=1", "-v", "b=2"),
    ],
)
def test_words_may_be_written_in_every_usual_way(words: tuple[str, ...]) -> None:
    found = read(*words)

    assert (found["name"], found["out"], found["var"], found["json"]) == (
        "mine",
        "there",
        ["a=1", "b=2"],
        True,
    )
    assert (found["keep"], found["from_"]) == (False, "spec")


def test_what_is_not_given_has_its_default_and_calls_share_nothing() -> None:
    assert read("plan", "--var", "a=1")["var"] == ["a=1"]
    assert read("plan") == {"name": "debian-kubelet", "var": [], "json": False}
    assert read("schema") == {"document": ""}
    assert read("builds")["name"] == ""


def test_values_have_their_kinds() -> None:
    assert read("boot", "--memory", "1024")["memory"] == 1024
    assert read("clean", "--cache-older-than", "-0.5", "--keep-builds=-1")["cache_older_than"] == -0.5
    assert read("verify-heat", "--no-config-drive")["config_drive"] is False
    assert read("verify-heat", "--out=")["out"] == ""


def test_an_option_may_do_without_its_value() -> None:
    assert read("lock", "mine", "--upgrade")["upgrade"] is True
    assert read("lock", "mine", "--upgrade", "kubelet")["upgrade"] == "kubelet"
    assert read("lock", "--upgrade=kubelet")["upgrade"] == "kubelet"
    assert read("lock", "--upgrade", "--json")["upgrade"] is True


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("rollbck",), "there is no task rollbck; did you mean rollback?"),
        (("build", "mine"), "there is no task build; did you mean builds?"),
        (("zzz",), "there is no task zzz; see: scripts/inv --list"),
        (("--help", "build-imag"), "there is no task build-imag; did you mean build-image?"),
        (("build-imag", "--help"), "there is no task build-imag; did you mean build-image?"),
        (("build-imag", "plan", "--help"), "there is no task build-imag; did you mean build-image?"),
        (("--", "plan"), "there is no task plan"),
        (("--verison",), "there is no option --verison; did you mean --version?"),
        (("--dry", "plan"), "there is no option --dry"),
        (("--json", "plan"), "--json belongs after a task; write: scripts/inv TASK --json"),
        (("plan", "--jsn"), "plan has no option --jsn; did you mean --json?"),
        (("plan", "--jsn=x"), "plan has no option --jsn; did you mean --json?"),
        (("plan", "--hlep"), "plan has no option --hlep; did you mean --help?"),
        (
            ("verify-heat", "--no-config-driv"),
            "has no option --no-config-driv; did you mean --no-config-drive?",
        ),
        (("plan", "-x"), "plan has no option -x; see: scripts/inv plan --help"),
        (("plan", "-jx"), "plan has no option -x"),
        (("build-image", "--yes"), "--yes belongs before a task; write: scripts/inv --yes build-image"),
        (("plan", "a", "b"), "plan does not take the word 'b'; see: scripts/inv plan --help"),
        (("plan", "a", "lint"), "plan does not take the word 'lint'"),
        (("lint", "lint"), "lint does not take the word 'lint'"),
        (("plan", "a", "--", "b"), "plan does not take the word 'b'"),
        (("cloud-service",), "cloud-service needs ACTION and SERVICE; see: scripts/inv cloud-service --help"),
        (("cloud-service", "stop", "--name", "x"), "cloud-service needs SERVICE"),
        (("sign", "--key"), "--key needs a value; see: scripts/inv sign --help"),
        (("sign", "--key", "--json"), "--key needs a value; see"),
        (("sign", "--key", "-j"), "--key needs a value; see"),
        (("build-image", "--out", "--kep"), "--out needs a value, got '--kep'; write --out=--kep if that"),
        (("build-image", "--out", "--", "x"), "--out needs a value"),
        (("plan", "--json=yes"), "--json takes no value, got 'yes'"),
        (("plan", "--json="), "--json takes no value, got ''"),
        (("plan", "-j=yes"), "-j takes no value, got 'yes'"),
        (("verify-heat", "--no-config-drive=no"), "--no-config-drive takes no value, got 'no'"),
        (("build-image", "--out", "a", "--out", "b"), "--out is given twice"),
        (("build-image", "-o", "a", "--out=b"), "--out is given twice"),
        (("build-image", "--keep", "--keep"), "--keep is given twice"),
        (("build-image", "a", "--name", "b"), "--name is given twice"),
        (("boot", "--memory", "much"), "--memory takes a whole number, got 'much'"),
        (("boot", "--memory", "1.5"), "--memory takes a whole number, got '1.5'"),
        (("clean", "--cache-older-than=x"), "--cache-older-than takes a number, got 'x'"),
        (("clean", "--cache-older-than", "nan"), "--cache-older-than takes a number, got 'nan'"),
        (
            ("lock", "--upgrade", "kubelet"),
            "'kubelet' may be the value of --upgrade or NAME; write --upgrade=k",
        ),
    ],
)
def test_a_mistake_names_the_word_and_what_may_be_right(words: tuple[str, ...], expected: str) -> None:
    assert expected in mistake(*words)


@pytest.mark.parametrize(
    ("words", "wanted"), [(("plan", "--json"), True), (("-j",), True), (("plan", "x"), False)]
)
def test_errors_are_json_where_the_words_ask_for_it(words: tuple[str, ...], wanted: bool) -> None:
    assert parsing.wants_json(words) is wanted
