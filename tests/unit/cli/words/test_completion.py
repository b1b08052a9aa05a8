# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.cli import collection
from goldsmith.cli.words import completion, values
from goldsmith.core import build_folders
from goldsmith.core.paths import project_root
from tests.support import installed, samples

Complete = Callable[..., list[str] | None]
ID = "20261101T010203Z-0a1b2c3"


@pytest.fixture
def complete(capsys: pytest.CaptureFixture[str]) -> Complete:
    """The words that may stand at the cursor; None for names of files."""

    def run(*words: str) -> list[str] | None:
        status = completion.main(words)
        lines = capsys.readouterr().out.splitlines()
        assert status == 0 or (status, lines) == (completion.FILES, [])
        return None if status else [line.partition("\t")[0] for line in lines]

    return run


def test_tasks_are_completed_with_what_they_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert completion.main(["pl"]) == 0

    assert capsys.readouterr().out == (
        "plan\tCheck a spec and its pods, and print the commands of a build\n"
        "plan-publish\tShow what publish would change in each cloud, as a diff\n"
    )


def test_every_task_and_its_options_are_completed(complete: Complete) -> None:
    assert complete("") == complete() == sorted(collection.namespace.tasks)
    for name, context in collection.contexts().items():
        inverse = {long: no for no, long in context.inverse_flags.items()}
        long = {flag for flag in context.flags if flag.startswith("--")}
        assert complete(name, "--") == sorted({*(inverse.get(flag, flag) for flag in long), "--help"})


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("-",), ["--help", "--list", "--version"]),
        (("--yes", "ren"), ["render"]),
        (("--help", "ren"), ["render"]),
        (("plan", "deb"), ["debian-heat-full", "debian-kubelet"]),
        (("plan", "--var", "a=b", "deb"), ["debian-heat-full", "debian-kubelet"]),
        (("plan", "-j", "--name", "fed"), ["fedora-kubelet"]),
        (("plan", "--name=fed"), ["--name=fedora-kubelet"]),
        (("plan", "one", ""), ["--help", "--json", "--name", "--var"]),
        (("plan", "./"), None),
        (("lint", ""), ["--help"]),
        (("build-image", "--from", ""), ["boot", "verify"]),
        (("build-image", "--from=b"), ["--from=boot"]),
        (("build-image", "--keep", "fed"), ["fedora-kubelet"]),
        (("build-image", "--out", "x"), None),
        (("build-image", "-o", "x"), None),
        (("build-image", "--out=x"), None),
        (("build-image", "--", "x"), None),
        (("verify-image", "x"), None),
        (("boot", "--memory", ""), []),
        (("cloud-service", ""), ["start", "stop"]),
        (("cloud-service", "stop", ""), []),
        (("completion", ""), ["bash", "fish", "zsh"]),
        (("schema", "build-"), ["build-inputs", "build-result"]),
        (("lock", "--upgrade", "fed"), ["fedora-kubelet"]),
        (("no-such-task", ""), sorted(collection.namespace.tasks)),
    ],
)
def test_what_is_completed_depends_on_the_words_before(
    complete: Complete, words: tuple[str, ...], expected: list[str] | None
) -> None:
    assert complete(*words) == expected


def test_builds_are_those_of_the_spec_that_is_named(complete: Complete, tmp_path: Path) -> None:
    other = ID.replace("1101", "1102")
    for name, build in (("mine", ID), ("other", other)):
        build_folders.move_latest(samples.build(tmp_path / "out" / name / build))
    elsewhere = samples.build(tmp_path / "elsewhere" / "mine" / ID.replace("1101", "1103"))
    (tmp_path / "out" / "file").touch()

    assert complete("sign", "mine", "--build", "") == [ID]
    assert complete("sign", "--name", "other", "-b", "") == [other]
    assert complete("sign", "--build=2") == [f"--build={ID}", f"--build={other}"]
    assert complete("diff", "") == [ID, other]
    assert complete("rollback", "--to", "2026110") == [ID, other]
    assert complete("sign", "--out", str(tmp_path / "elsewhere"), "--build", "") == [elsewhere.name]
    assert complete("sign", "--out", str(tmp_path / "nowhere"), "--build", "") == []


@pytest.mark.parametrize("text", ["clouds: {lab: {}, prod: {}}", "", "{", "clouds: 1", "- x", "\0"])
def test_clouds_are_those_of_the_users_file(
    complete: Complete, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "clouds.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OS_CLIENT_CONFIG_FILE", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    assert complete("images", "--cloud", "") == (["lab", "prod"] if "lab" in text else [])
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "no-such-file"))
    assert complete("images", "-c", "") == []


def test_the_vocabulary_says_what_each_value_is_completed_by() -> None:
    kinds = {"spec", "build", "cloud", "document", "file", ""}
    found = values.vocabulary(collection.namespace.tasks, collection.contexts(), ())
    every = [kind for task in found.values() for kind in (*task["words"], *task["options"].values())]

    assert {kind for kind in every if isinstance(kind, str)} == kinds


def test_a_tab_imports_neither_the_tasks_nor_what_they_need() -> None:
    script = (
        "import sys; from goldsmith.cli.program import main\n"
        "sys.argv = ['goldsmith', '--complete', *sys.argv[1:]]\n"
        "try: main()\nexcept SystemExit as e: assert e.code == 0\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", script, "build-image", "deb"], cwd=project_root(),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    *words, modules = done.stdout.splitlines()

    assert [word.rstrip() for word in words] == ["debian-heat-full", "debian-kubelet"]
    heavy = {"invoke", "msgspec", "jinja2", "yaml", "openstack", "pytest", "goldsmith.cli.collection"}
    assert not heavy & set(modules.split())


def test_an_installed_goldsmith_completes_none_of_the_tasks_of_a_checkout(
    complete: Complete, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_a_checkout = complete("l")
    installed.pretend(tmp_path, monkeypatch)

    assert in_a_checkout is not None
    assert "lint" in in_a_checkout
    assert complete("l") == [name for name in in_a_checkout if name != "lint"]
