# SPDX-License-Identifier: Apache-2.0
"""The hooks whose config a program runs: scripts for real, Ansible and Puppet as programs of the test."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from heat_config import given, tools

from goldsmith.core.paths import project_root

Tool = Callable[..., dict[str, Any]]


@pytest.fixture
def tool(tmp_path: Path, fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Tool]:
    """Run a hook with a config; afterwards nothing of it may be left, as inputs may be secrets."""
    monkeypatch.setenv("HOME", str(tmp_path))
    fake("setpriv", 'shift 2; exec "$@"')
    fake("hostname", "exit 1")

    def call(
        name: str,
        config: str,
        outputs: tuple[str, ...] = (),
        options: dict[str, Any] | None = None,
        **inputs: object,
    ) -> dict[str, Any]:
        given = {
            "id": "a", "name": "mine", "config": config, "outputs": [{"name": name} for name in outputs],
            "options": options or {}, "inputs": [{"name": n, "value": v} for n, v in inputs.items()],
        }  # fmt: skip
        return tools.run(name, given, folder=tmp_path / "work")

    yield call
    assert [path for path in (tmp_path / "work").rglob("*") if path.is_file()] == []


def test_a_script_gets_inputs_and_gives_outputs(tool: Tool) -> None:
    text = '#!/bin/sh\necho "hello $who $many"\necho out > $heat_outputs_path.result\necho err >&2\n'

    answer = tool("script", text, ("result", "absent"), who="world", many=[1, 2], none=None)

    assert answer == {
        "deploy_stdout": "hello world [1, 2]\n", "deploy_stderr": "err\n", "deploy_status_code": 0,
        "result": "out\n",
    }  # fmt: skip


def test_inputs_that_a_killed_hook_left_in_a_file_go(tool: Tool, tmp_path: Path) -> None:
    left = tmp_path / "work/script/tmpabc/variables.json"
    left.parent.mkdir(parents=True)
    left.write_text("secret")

    tool("script", "#!/bin/sh\n")

    assert not left.exists()


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", '{"no": "id"}', '{"id": "a", "inputs": [1]}', '{"id": "a", "inputs": {"a": 1}}',
        '{"id": "a", "outputs": [1]}', '{"id": "a", "outputs": {"a": 1}}', '{"id": "a", "options": [1]}',
        "[" * 50_000 + "]" * 50_000,
    ],
)  # fmt: skip
def test_what_is_no_deployment_is_answered_too(text: str) -> None:
    argv = [sys.executable, "-m", "heat_config.tools", "script"]
    env = {**os.environ, "PYTHONPATH": str(project_root() / "elements/heat-agent/agent-files")}

    done = subprocess.run(argv, input=text, env=env, capture_output=True, text=True, check=True)

    answer = json.loads(done.stdout)
    assert answer["deploy_status_code"] == 1
    assert answer["deploy_stderr"].startswith("what is on standard input is no deployment: ")


@pytest.mark.parametrize(
    ("error", "said"),
    [(UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), "text that no file can hold"),
     (RecursionError("maximum recursion depth exceeded"), "nested too deeply")],
)  # fmt: skip
def test_what_a_hook_cannot_handle_is_answered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, said: str
) -> None:
    def hook(config: Mapping[str, Any]) -> dict[str, Any]:
        assert config == {"id": "a"}
        raise error

    monkeypatch.setattr("sys.stdin", io.StringIO('{"id": "a"}'))

    assert given.answered(hook) == 0
    assert said in json.loads(capsys.readouterr().out)["deploy_stderr"]


def test_a_script_that_fails_says_with_what(tool: Tool) -> None:
    assert tool("script", "#!/bin/sh\nexit 7\n")["deploy_status_code"] == 7


def test_a_script_whose_interpreter_is_missing_is_a_failure(tool: Tool) -> None:
    answer = tool("script", "#!/no/such/program\n")

    assert answer["deploy_status_code"] == 127
    assert "/no/such/program" in answer["deploy_stderr"] or "not found" in answer["deploy_stderr"]


def test_a_playbook_gets_inputs_as_variables_and_no_word_of_them_in_its_call(
    tool: Tool, fake: Callable[..., Path]
) -> None:
    calls = fake(
        "ansible-playbook",
        """for last; do case "$last" in @*) cp "${last#@}" "$HOME/variables" ;; esac; done
        cat "$last"; echo "$LC_ALL"
        echo done > "$(sed 's/.*heat_outputs_path": "//;s/".*//' "$HOME/variables").result"
        """,
    )
    options = {"tags": "one", "skip_tags": "two", "modulepath": "/m"}

    answer = tool("ansible", "- hosts: localhost\n", ("result",), options, password="secret", many=[1])

    assert answer["deploy_status_code"] == 0, answer
    assert answer["deploy_stdout"] == "- hosts: localhost\nC.UTF-8\n"
    assert answer["result"] == "done\n"
    given = json.loads((Path(os.environ["HOME"]) / "variables").read_text())
    assert (given["password"], given["many"], given["heat_config_id"]) == ("secret", [1], "a")
    call = calls.read_text()
    assert "secret" not in call
    for words in ("-i localhost,", "-c local", "--tags one", "--skip-tags two", "--module-path /m"):
        assert words in call


@pytest.mark.parametrize(
    ("inventory", "is_local"),
    [(None, True), ("", True), ("localhost,", True), ("hosts", False), ("a,b", False), ("localhost,b", False),
     ("localhost", False)],
)  # fmt: skip
def test_tasks_for_other_hosts_do_not_run_on_this_one(
    tool: Tool, fake: Callable[..., Path], inventory: str | None, is_local: bool
) -> None:
    calls = fake("ansible-playbook", "")

    tool("ansible", "- hosts: all\n", (), {"inventory": inventory})

    call = calls.read_text()
    assert f"-i {inventory or 'localhost,'} " in call
    assert ("-c local" in call) == is_local


@pytest.mark.parametrize("name", ["deploy_status_code", "deploy_stdout", "deploy_stderr"])
def test_no_output_takes_the_place_of_the_answer(tool: Tool, name: str) -> None:
    answer = tool("script", f"#!/bin/sh\nprintf 0 > $heat_outputs_path.{name}\nexit 3\n", (name,))

    assert answer == {"deploy_stdout": "", "deploy_stderr": "", "deploy_status_code": 3}


def test_no_input_takes_the_place_of_the_outputs_path(tool: Tool, fake: Callable[..., Path]) -> None:
    fake("ansible-playbook", """for last; do case "$last" in @*) cat "${last#@}" ;; esac; done""")
    fake("puppet", 'echo "$FACTER_heat_outputs_path"')
    text = "#!/bin/sh\necho $heat_outputs_path\n"

    said = {
        name: tool(name, text, heat_outputs_path="/elsewhere")["deploy_stdout"]
        for name in ("script", "ansible", "puppet")
    }

    assert all(re.search(r"/work/\w+/tmp\w+/output\b", text) for text in said.values()), said
    assert "/elsewhere" not in str(said)


def test_a_playbook_that_fails_says_with_what(tool: Tool, fake: Callable[..., Path]) -> None:
    fake("ansible-playbook", "echo why >&2; exit 2")

    answer = tool("ansible", "- hosts: localhost\n")

    assert (answer["deploy_status_code"], answer["deploy_stderr"]) == (2, "why\n")


@pytest.mark.parametrize(("status", "said"), [(0, 0), (2, 0), (1, 1), (4, 4), (6, 6)])
def test_a_manifest_that_changed_something_has_succeeded(
    tool: Tool, fake: Callable[..., Path], status: int, said: int
) -> None:
    fake("puppet", f"exit {status}")

    assert tool("puppet", "notice('x')")["deploy_status_code"] == said


def test_a_manifest_gets_inputs_as_facts(tool: Tool, fake: Callable[..., Path]) -> None:
    calls = fake(
        "puppet",
        """for last; do :; done
        cat "$last"; echo "$FACTER_who"; echo out > "$FACTER_heat_outputs_path.result"
        """,
    )

    answer = tool("puppet", "notice('x')\n", ("result",), {"tags": "t", "enable_debug": True}, who="world")

    assert answer["deploy_stdout"] == "notice('x')\nworld\n"
    assert answer["result"] == "out\n"
    assert "--detailed-exitcodes" in calls.read_text()
    assert "--tags t --debug" in calls.read_text()
    assert "world" not in calls.read_text()


@pytest.mark.parametrize(
    ("program", "inputs", "fact"),
    [("echo web.example.org", {}, "web.example.org"), ("exit 1", {}, "none"),
     ("echo web", {"fqdn": "mine"}, "mine")],
)  # fmt: skip
def test_a_manifest_gets_the_full_name_of_the_server(
    tool: Tool, fake: Callable[..., Path], program: str, inputs: dict[str, str], fact: str
) -> None:
    fake("hostname", program)
    fake("puppet", 'echo "${FACTER_fqdn:-none}"')

    assert tool("puppet", "", (), None, **inputs)["deploy_stdout"] == f"{fact}\n"


def test_facts_can_be_turned_off_and_hiera_on(
    tool: Tool, fake: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(
        "puppet",
        f'echo "${{FACTER_who:-none}} $FACTER_deploy_config_name"\n'
        f"cat {tmp_path}/hiera/heat_config_mine.json; stat -c %a {tmp_path}/hiera/heat_config_mine.json",
    )
    monkeypatch.setattr(tools, "_HIERA", tmp_path / "hiera")

    answer = tool("puppet", "", (), {"enable_facter": False, "enable_hiera": True}, who="world")

    assert answer["deploy_stdout"] == 'none mine\n{"who": "world"}600\n'
    assert list((tmp_path / "hiera").iterdir()) == []


@pytest.mark.parametrize("name", ["a=b", "a\0b"])
def test_an_input_that_no_environment_can_hold_is_a_failure(tool: Tool, name: str) -> None:
    answer = tool("script", "#!/bin/sh\n", **{name: "x"})

    assert answer["deploy_status_code"] == 126
    assert "cannot hand the inputs" in answer["deploy_stderr"]


def test_a_program_that_is_not_there_is_a_failure(
    tool: Tool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    answer = tool("ansible", "- hosts: localhost\n")

    assert answer["deploy_status_code"] == 126
    assert "cannot run" in answer["deploy_stderr"]


def test_cfn_init_gets_the_config_as_its_metadata(tool: Tool, fake: Callable[..., Path]) -> None:
    calls = fake("cfn-init", 'cat "$2"')

    answer = tool("cfn-init", '{"config": {}}', options={"configsets": "a,b"}, who="x")

    assert json.loads(answer["deploy_stdout"]) == {"AWS::CloudFormation::Init": '{"config": {}}'}
    assert calls.read_text().split()[2:] == ["--configsets", "a,b"]


def test_no_program_in_the_image_imports_from_the_folder_that_it_is_started_in() -> None:
    """There, somebody may have put a json.py; -I means no folder of the caller's, -P not the current one."""
    starts = [
        (path.name, words)
        for path in (project_root() / "elements").glob("*/*-files/*")
        if path.is_file() and b"\0" not in path.read_bytes()
        for words in re.findall(r"^\s*(?:exec )?(python3 -\S+)", path.read_text(), re.MULTILINE)
    ]

    assert len(starts) > 5
    assert [start for start in starts if not re.search(r"-\w*[IP]", start[1])] == []
