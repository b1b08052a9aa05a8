# SPDX-License-Identifier: Apache-2.0
"""The hook for docker-cmd, against an engine of the test; the real one is asked in the image's own suites."""

from __future__ import annotations

import copy
import io
import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from heat_config import given
from heat_config.given import BadRequest
from heat_docker import hook, request
from heat_docker.engine import KEY_LABEL, Done, Engine, EngineError

WEB = {"web": {"image": "a.b/web:1", "environment": {"GREETING": {"get_input": "greeting"}}}}


class FakeEngine(Engine):
    """Containers in a dictionary; a command that is /nowhere cannot run, one that is /ends ends with 3."""

    def __init__(self) -> None:
        self.there: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, ...]] = []
        self.images = {"a.b/web:1", "a.b/db:1"}
        self.ids = itertools.count(1)
        self.broken = ""  # a call that fails

    def containers(self, key: str | None = None) -> dict[str, dict[str, Any]]:
        return {
            name: copy.deepcopy(container) for name, container in self.there.items()
            if key in (None, (container["Config"]["Labels"] or {}).get(KEY_LABEL))
        }  # fmt: skip

    def has_image(self, image: str) -> bool:
        return image in self.images

    def has_container(self, name: str) -> bool:
        return any(container["Id"].startswith(name) for container in self.there.values())

    def run(self, verb: str, options: Sequence[str], environment: Sequence[str], rest: Sequence[str]) -> Done:
        words = (verb, *options, *environment, *rest)
        self.calls.append(words)
        if verb == "exec":
            status = int(rest[2]) if rest[1] == "exit" else 0
            return Done(status=status, stdout=f"ran {' '.join(words[1:])}\n", stderr="")
        if "/nowhere" in words:
            return Done(status=127, stdout="", stderr="no such file")
        name = words[words.index("--name") + 1]
        assert name not in self.there
        labels = dict(word[8:].split("=", 1) for word in words if word.startswith("--label="))
        ended = "/ends" in words
        self.there[name] = {
            "Id": f"id-{next(self.ids)}", "Image": "sha256:11", "RestartCount": 0,
            "Config": {"Labels": labels, "Image": next(w for w in words if w.startswith("a.b/"))},
            "State": {"Status": "exited" if ended else "running", "Running": not ended,
                      "ExitCode": 3 if ended else 0, "StartedAt": "now"},
        }  # fmt: skip
        status = 3 if ended and "--detach" not in words else 0
        return Done(status=status, stdout="printed\n", stderr="")

    def stop(self, name: str) -> None:
        self.there[name]["State"].update(Status="exited", Running=False)
        self._note("stop", name)

    def start(self, name: str) -> None:
        self.there[name]["State"].update(Status="running", Running=True)
        self._note("start", name)

    def rename(self, name: str, to: str) -> None:
        self._note("rename", name, to)
        self.there[to] = self.there.pop(name)

    def remove(self, name: str) -> None:
        self.there.pop(name)
        self._note("remove", name)

    def log(self, name: str) -> str:
        return f"last words of {name}"

    def _note(self, *words: str) -> None:
        self.calls.append(words)
        if words[0] == self.broken:
            raise EngineError(f"docker {words[0]} failed: why")


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def deploy(engine: FakeEngine) -> Callable[..., dict[str, Any]]:
    """Answer of the hook to a config."""

    def ask(config: object, action: str = "CREATE", **inputs: object) -> dict[str, Any]:
        values = {
            "deploy_action": action, "deploy_stack_id": "one/11", "deploy_resource_name": "containers",
            "min_ready_seconds": 0, "greeting": "hello", **inputs,
        }  # fmt: skip
        listed = [{"name": name, "value": value} for name, value in values.items()]
        return hook.answer({"id": "a", "config": config, "inputs": listed}, engine)

    return ask


Deploy = Callable[..., dict[str, Any]]


def ids(engine: FakeEngine) -> dict[str, str]:
    return {name: container["Id"] for name, container in engine.there.items()}


def test_a_container_runs_from_an_embedded_image_with_its_inputs(engine: FakeEngine, deploy: Deploy) -> None:
    answer = deploy(WEB)

    assert answer["deploy_status_code"] == 0
    assert answer["containers"]["web"]["state"] == "running"
    words = engine.calls[0]
    assert words[:5] == ("run", "--name", "web", "--pull=never", "--detach")
    assert words[-2:] == ("GREETING=hello", "a.b/web:1")
    assert "--label=managed_by=docker-cmd" in words


def test_an_unchanged_container_is_not_touched_and_a_changed_one_is_replaced(
    engine: FakeEngine, deploy: Deploy
) -> None:
    both = {**WEB, "db": {"image": "a.b/db:1"}}
    deploy(both)
    before = ids(engine)

    deploy(both, "UPDATE", greeting="changed")

    assert ids(engine)["db"] == before["db"]
    assert ids(engine)["web"] != before["web"]
    assert set(engine.there) == {"web", "db"}


def test_what_is_no_longer_asked_for_goes(engine: FakeEngine, deploy: Deploy) -> None:
    deploy({**WEB, "db": {"image": "a.b/db:1"}})

    assert deploy(WEB, "UPDATE")["deploy_status_code"] == 0
    assert set(engine.there) == {"web"}


@pytest.mark.parametrize(("command", "status"), [("/nowhere", 127), ("/ends", 1)])
def test_where_a_successor_fails_the_one_from_before_is_put_back(
    engine: FakeEngine, deploy: Deploy, command: str, status: int
) -> None:
    deploy(WEB)
    before = ids(engine)

    answer = deploy(
        {"new": {"image": "a.b/db:1"}, "web": {"image": "a.b/web:1", "command": command}}, "UPDATE"
    )

    assert answer["deploy_status_code"] == status
    assert "container web" in answer["deploy_stderr"]
    if command == "/ends":
        assert "ended with status 3\nlast words of web" in answer["deploy_stderr"]
    assert ids(engine) == before
    assert engine.there["web"]["State"]["Running"]


def test_an_engine_that_fails_half_way_is_told_and_undone(engine: FakeEngine, deploy: Deploy) -> None:
    deploy(WEB)
    before = ids(engine)
    engine.broken = "stop"

    answer = deploy(WEB, "UPDATE", greeting="changed")

    assert answer["deploy_stderr"] == "docker stop failed: why"
    assert ids(engine) == before


def test_after_a_kill_the_next_pass_converges(engine: FakeEngine, deploy: Deploy) -> None:
    deploy(WEB)
    before = ids(engine)
    engine.rename("web", "web.before")
    engine.run("run", ["--name", "web", f"--label={KEY_LABEL}=one/11/containers"], [], ["a.b/web:1"])

    deploy(WEB, "UPDATE")

    assert ids(engine) == before


def test_what_cannot_run_here_is_said_before_anything_is_changed(engine: FakeEngine, deploy: Deploy) -> None:
    engine.there["taken"] = {"Config": {"Labels": None}, "Id": "x"}
    config = {"taken": {"image": "a.b/web:1"}, "far": {"image": "a.b/far:1"}}

    answer = deploy(config)

    assert answer["deploy_stderr"].splitlines() == [
        "container taken: the name is taken by another one",
        "container far: the image a.b/far:1 is not embedded",
    ]
    assert engine.calls == []


def test_a_pull_can_be_allowed(engine: FakeEngine, deploy: Deploy) -> None:
    deploy({"far": {"image": "a.b/far:1"}}, allow_pull="true")

    assert "--pull=missing" in engine.calls[0]


def test_steps_run_in_their_order_and_their_output_is_told(engine: FakeEngine, deploy: Deploy) -> None:
    config = {
        "look": {"action": "exec", "start_order": 2, "command": "web ls /"},
        "once": {"image": "a.b/db:1", "detach": False, "start_order": 1},
        "web": {"image": "a.b/web:1", "start_order": 0},
    }

    answer = deploy(config)

    assert answer["deploy_stdout"] == "printed\nran web ls /\n"
    assert [words[0] for words in engine.calls] == ["run", "run", "exec"]
    assert "--detach" not in engine.calls[1]


def test_a_command_runs_in_a_container_of_another_deployment(engine: FakeEngine, deploy: Deploy) -> None:
    deploy(WEB)
    look = {"look": {"action": "exec", "command": "web ls /"}, "by": {"action": "exec", "command": "id-1 ls"}}

    answer = deploy(look, deploy_resource_name="other")

    assert (answer["deploy_status_code"], answer["deploy_stdout"]) == (0, "ran web ls /\nran id-1 ls\n")


def test_a_command_in_a_container_that_is_not_there_is_refused(engine: FakeEngine, deploy: Deploy) -> None:
    answer = deploy({**WEB, "look": {"action": "exec", "command": "gone ls"}})

    assert answer["deploy_stderr"] == "container look: exec in gone, and there is no such container"
    assert engine.calls == []


def test_the_status_of_docker_is_the_answers_and_what_follows_is_tried(
    engine: FakeEngine, deploy: Deploy
) -> None:
    def step(order: int, *command: str, **more: object) -> dict[str, Any]:
        return {"action": "exec", "start_order": order, "command": ["web", *command], **more}

    config = {
        **WEB, "a": step(1, "exit", "2"), "b": step(2, "exit", "3", exit_codes=[3]), "c": step(3, "ls"),
    }  # fmt: skip

    answer = deploy(config)
    last = deploy({**config, "d": step(4, "exit", "4"), "e": step(5, "exit", "0", exit_codes=[1])})

    assert answer["deploy_status_code"] == 2
    assert answer["deploy_stderr"] == "container a: exit status 2"
    assert answer["deploy_stdout"].splitlines() == ["ran web exit 2", "ran web exit 3", "ran web ls"]
    assert last["deploy_status_code"] == 1, "docker has none where 0 is the failure"
    assert len(last["deploy_stderr"].splitlines()) == 3
    assert engine.there == {}


SECRETS = {
    "PLAIN": "secret", "QUOTED": ' "secret" # x=y ', "EMPTY": "", "LINES": "secret\nof two lines\n",
    "RETURN": "secret\r", "LONG": "secret" * 20_000, "ACCENTS": "secrét",
}  # fmt: skip


def test_no_value_of_a_variable_is_in_the_call_of_docker(fake: Callable[..., Path], tmp_path: Path) -> None:
    calls = fake(
        "docker",
        f"""for word; do case "$word" in
            image) break ;;
            --env-file=*) cat "${{word#--env-file=}}" ;;
            --env=*) name=${{word#--env=}}; eval "printf '%s=%s\\0' $name \\"\\$$name\\"" ;;
        esac; done > {tmp_path}/got""",
    )

    items = [f"{name}={value}" for name, value in SECRETS.items()]
    done = Engine().run("run", ["--name", "x"], [*items, "PATH"], ["image", "--env=is=a word of the command"])

    assert done.status == 0, done.stderr
    text = (tmp_path / "got").read_bytes().decode()
    lines = [f"{name}={SECRETS[name]}\n" for name in ("PLAIN", "QUOTED", "EMPTY", "ACCENTS")]
    parts = [f"{name}={SECRETS[name]}\0" for name in ("LINES", "RETURN", "LONG")]
    assert text.startswith("".join(lines) + f"PATH={os.environ['PATH']}\0" + "".join(parts))
    call = calls.read_text()
    assert call.startswith("run --name x --env-file=/dev/fd/")
    assert "secr" not in call
    assert "--env=LINES --env=RETURN --env=LONG image --env=is=a word" in call


@pytest.mark.parametrize("word", ["a\0b", "\ud800", "x" * 200_000])
def test_a_call_that_cannot_be_made_is_a_failure_of_the_engine(fake: Callable[..., Path], word: str) -> None:
    fake("docker", "")

    with pytest.raises(EngineError, match="docker run cannot be called"):
        Engine().run("run", [], [], ["image", word])


ONCE = {"once": {"image": "a.b/db:1", "detach": False, "exit_codes": [3], "command": "/ends"}}


def test_what_ran_to_its_end_does_not_run_again(engine: FakeEngine, deploy: Deploy) -> None:
    deploy(ONCE)
    before = ids(engine)

    assert deploy(ONCE, "UPDATE")["deploy_status_code"] == 0
    assert ids(engine) == before


def test_what_a_reboot_has_cut_off_runs_again(engine: FakeEngine, deploy: Deploy) -> None:
    deploy(ONCE)
    before = ids(engine)
    engine.there["once"]["State"]["ExitCode"] = 137

    assert deploy(ONCE, "UPDATE")["deploy_status_code"] == 0
    assert ids(engine) != before
    assert set(engine.there) == {"once"}


def test_what_ran_to_its_end_is_put_back_and_not_started(engine: FakeEngine, deploy: Deploy) -> None:
    deploy(ONCE)
    engine.calls.clear()

    deploy({"once": {"image": "a.b/db:1", "detach": False, "command": "/nowhere"}}, "UPDATE")

    assert ("rename", "once.before", "once") in engine.calls
    assert ("start", "once") not in engine.calls


def test_what_was_stopped_and_could_not_be_set_aside_runs_on(engine: FakeEngine, deploy: Deploy) -> None:
    deploy(WEB)
    engine.broken = "rename"

    assert deploy(WEB, "UPDATE", greeting="changed")["deploy_status_code"] == 1
    assert engine.there["web"]["State"]["Running"]


@pytest.mark.parametrize("value", ["nan", "inf", "soon"])
def test_a_wait_has_an_end(deploy: Deploy, value: str) -> None:
    assert "must be a number" in deploy(WEB, containers_deadline=value)["deploy_stderr"]
    assert deploy(None, "DELETE", containers_deadline=value)["deploy_status_code"] == 0


def test_the_end_of_a_deployment_that_was_replaced_ends_nothing(engine: FakeEngine, deploy: Deploy) -> None:
    deploy(WEB)
    values = {
        "deploy_stack_id": "one/11", "deploy_resource_name": "containers", "deploy_action": "DELETE",
    }  # fmt: skip
    inputs = [{"name": name, "value": value} for name, value in values.items()]

    answer = hook.answer({"id": "x", "inputs": inputs, given.REPLACED: True}, engine)

    assert answer["deploy_stdout"] == "0 containers removed"
    assert list(engine.there) == ["web"]


def test_the_end_of_a_deployment_is_the_end_of_its_containers(engine: FakeEngine, deploy: Deploy) -> None:
    deploy(WEB)

    assert deploy(None, "SUSPEND")["deploy_stdout"] == "1 containers stopped"
    assert not engine.there["web"]["State"]["Running"]
    assert deploy(WEB, "RESUME")["deploy_status_code"] == 0
    assert engine.there["web"]["State"]["Running"]
    assert deploy(None, "DELETE")["deploy_stdout"] == "1 containers removed"
    assert engine.there == {}


def test_options_are_those_of_docker_run() -> None:
    entry = {
        "image": "a.b/web:1", "net": "host", "pid": "host", "privileged": True, "restart": "always",
        "user": "x", "volumes": ["/a:/b", ""], "volumes_from": ["other"], "env_file": ["/e", "/f"],
        "environment": ["A=1"],
        "command": ["run", 1], "name": "ignored",
    }  # fmt: skip
    step = request.parse({"id": "a", "config": {"web": entry}}).steps[0]

    assert step.options == (
        "--env-file=/e", "--env-file=/f", "--net=host", "--pid=host", "--privileged=true",
        "--restart=always", "--user=x", "--volume=/a:/b", "--volumes-from=other",
    )  # fmt: skip
    assert step.environment == ("A=1",)
    assert step.command == ("run", "1")
    assert step.name == "web"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("[", "the config is no YAML"),
        ([], "must be a mapping of names to containers"),
        ({"web": []}, "container web: must be a mapping"),
        ({"web": {"image": "a.b/web:1", "imagee": 1}}, "container web: unknown key imagee"),
        ({"we b": {"image": "a.b/web:1"}}, "a name is letters"),
        ({"web": {}}, "container web: it has no image"),
        ({"web": {"action": "stop"}}, "action must be run or exec"),
        ({"web": {"action": "exec", "command": "web"}}, "exec needs a command"),
        ({"web": {"image": "a.b/web:1", "environment": ["A B=1"]}}, "'A B' is no name of a variable"),
        ({"web": {"image": "a.b/web:1", "environment": ["#A=1"]}}, "'#A' is no name of a variable"),
        ({"web": {"image": "a.b/web:1", "environment": ["=1"]}}, "'' is no name of a variable"),
        ({"web": {"image": "a.b/web:1", "environment": {"A": "\0"}}}, "has a character that no variable"),
        ({"web": {"image": "a.b/web:1", "environment": {"A": "\ud800"}}}, "has a character that no variable"),
        ({"web": {"image": "a.b/web:1", "environment": {"PATH": "a\nb"}}}, "of PATH must be one line"),
        ({"web": {"image": "a.b/web:1", "environment": {"DOCKER_HOST": "x" * 70_000}}}, "must be one line"),
        ({"web": {"image": "a.b/web:1", "start_order": "x"}}, "command must be words, start_order a number"),
        ({"web": {"image": "a.b/web:1", "command": "sh -c 'x"}}, "command must be words"),
        ({"web.before": {"image": "a.b/web:1"}}, "does not end in .before"),
        ({"web": {"image": {"get_input": ["a"]}}}, "asks for the input"),
        ({"web": {"image": {"get_input": "absent"}}}, "asks for the input 'absent'"),
    ],
)
def test_a_config_that_cannot_be_is_refused(config: Any, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        request.parse({"id": "a", "config": config})


def test_containers_of_deployments_that_are_gone_end(
    engine: FakeEngine, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(WEB)
    engine.there["mine"] = {"Config": {"Labels": None}, "Id": "x"}
    monkeypatch.setattr(hook, "Engine", lambda: engine)
    monkeypatch.setattr("sys.stdin", io.StringIO('["two/22/other"]'))

    assert hook.prune() == 0

    assert set(engine.there) == {"mine"}
