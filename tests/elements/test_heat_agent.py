# SPDX-License-Identifier: Apache-2.0
"""The pass over deployments: hooks are programs of the test, Heat is a server on loopback."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from diskimage_builder import element_dependencies
from heat_config import agent, deployment, given, metadata, record, signalling
from heat_config.agent import Paths
from heat_config.hooks import Hooks

from goldsmith.core.paths import project_root

FILES = project_root() / "elements/heat-agent/agent-files"


DEEP = "[" * 50_000 + "]" * 50_000  # deeper than any parser of Python's goes


class Heat:
    """Takes signals, or answers with another status while it is told to."""

    def __init__(self) -> None:
        self.status = 200
        self.signals: list[dict[str, Any]] = []
        self.paths: list[str] = []
        heat = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path == "/v3/auth/tokens":
                    self._token()
                    return
                heat.paths.append(self.path)
                if heat.status == 200:
                    heat.signals.append(body)
                self.send_response(heat.status)
                self.end_headers()

            def _token(self) -> None:
                endpoint = {
                    "interface": "public",
                    "region_id": "R",
                    "region": "R",
                    "url": f"{heat.base}/v1/q",
                }
                catalog = [{"type": "orchestration", "name": "heat", "endpoints": [endpoint]}]
                token = {
                    "token": {"catalog": catalog, "expires_at": "2050-01-01T00:00:00.000000Z", "methods": []}
                }
                self.send_response(201)
                self.send_header("X-Subject-Token", "t")
                self.end_headers()
                self.wfile.write(json.dumps(token).encode())

            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps({"metadata": {"deployments": [{"id": "a"}]}}).encode())

            def log_message(self, *words: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    @property
    def url(self) -> str:
        return f"{self.base}/signal"


@pytest.fixture
def heat() -> Iterator[Heat]:
    heat = Heat()
    yield heat
    heat.server.shutdown()
    heat.server.server_close()


@pytest.fixture
def paths(tmp_path: Path, fake: Callable[..., Path]) -> Paths:
    """An image with one hook, which succeeds and notes each call."""
    fake("setpriv", 'shift 2; exec "$@"')
    paths = Paths(
        metadata=tmp_path / "heat-config", records=tmp_path / "deployed",
        hooks=Hooks(
            folders=(tmp_path / "hooks", tmp_path / "more-hooks"), templates=tmp_path / "templates",
            oom_score=tmp_path / "oom_score_adj",
        ), console=tmp_path / "console",
        pruners=tmp_path / "prune", lock=tmp_path / "lock", launched=tmp_path / "cfn-init-data",
        agent=tmp_path / "os-collect-config.conf",
    )  # fmt: skip
    hook(paths, """echo '{"deploy_stdout": "fine", "answer": 42}'""")
    return paths


def hook(paths: Paths, script: str, name: str = "test", folder: Path | None = None) -> None:
    path = folder or paths.hooks.folders[0]
    path.mkdir(exist_ok=True)
    path /= name
    path.write_text(
        f"#!/bin/sh\ncat >> {paths.records.parent}/calls\necho >> {paths.records.parent}/calls\n{script}\n"
    )
    path.chmod(0o755)


def calls(paths: Paths) -> list[dict[str, Any]]:
    path = paths.records.parent / "calls"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def entry(id_: str, heat: Heat | None = None, *, group: str = "test", **inputs: object) -> dict[str, Any]:
    """A deployment as Heat's metadata has it."""
    values = {
        "deploy_stack_id": "one/11",
        "deploy_resource_name": "pods",
        "deploy_action": "CREATE",
        **inputs,
    }
    if heat is not None:
        values |= {"deploy_signal_id": heat.url, "deploy_signal_verb": "POST"}
    listed = [{"name": name, "type": "String", "value": value} for name, value in values.items()]
    return {"id": id_, "name": "pods", "group": group, "config": "text", "inputs": listed, "outputs": []}


def run(paths: Paths, *entries: dict[str, Any]) -> int:
    paths.metadata.write_text(json.dumps(entries))
    return agent.run(paths)


def test_a_deployment_runs_once_and_signals_once(paths: Paths, heat: Heat) -> None:
    first = run(paths, entry("a", heat))
    second = run(paths, entry("a", heat))

    assert (first, second) == (0, 0)
    assert len(calls(paths)) == 1
    assert heat.signals == [
        {"deploy_stdout": "fine", "deploy_stderr": "", "deploy_status_code": 0, "answer": 42}
    ]


def test_a_signal_that_is_not_accepted_is_sent_again_without_the_hook(paths: Paths, heat: Heat) -> None:
    heat.status = 503
    down = run(paths, entry("a", heat))
    heat.status = 200
    up = run(paths, entry("a", heat))

    assert (down, up) == (1, 0)
    assert len(calls(paths)) == 1
    assert len(heat.signals) == 1


def test_a_heat_that_is_not_there_is_no_end_of_it(paths: Paths, heat: Heat) -> None:
    heat.server.server_close()

    assert run(paths, entry("a", heat)) == 1
    assert record.Records(paths.records).get("a") == record.Record(
        state=record.RAN,
        answer={"deploy_stdout": "fine", "deploy_stderr": "", "deploy_status_code": 0, "answer": 42},
    )


def test_a_deployments_own_user_signals_and_the_servers_user_looks(paths: Paths, heat: Heat) -> None:
    user = {
        "auth_url": f"{heat.base}/v3",
        "user_id": "u",
        "password": "p",
        "project_id": "q",
        "region_name": "R",
    }
    lines = "".join(f"{name} = {value}\n" for name, value in user.items())
    paths.agent.write_text(f"[heat]\nstack_id = one/11\nresource_name = server\n{lines}")
    inputs: dict[str, Any] = {f"deploy_{name}": value for name, value in user.items()}

    assert run(paths, entry("a", **inputs)) == 0
    assert heat.paths == ["/v1/q/stacks/one/11/resources/pods/signal"]
    assert heat.signals[0]["answer"] == 42
    assert metadata.current_ids(paths.agent) == frozenset({"a"})


def test_a_keystone_that_is_not_there_is_no_end_of_it_either(paths: Paths) -> None:
    nowhere = {"auth_url": "http://127.0.0.1:1/v3", "user_id": "u", "password": "p", "project_id": "q"}
    paths.agent.write_text(
        "[heat]\nstack_id = s\nresource_name = r\n"
        + "".join(f"{name} = {value}\n" for name, value in nowhere.items())
    )

    inputs: dict[str, Any] = {f"deploy_{name}": value for name, value in nowhere.items()}
    status = run(paths, entry("a", **inputs))

    assert status == 1
    assert record.Records(paths.records).get("a").state == record.RAN  # type: ignore[union-attr]
    assert metadata.current_ids(paths.agent) == frozenset()


def test_the_answer_to_a_deployment_that_was_replaced_is_never_sent(paths: Paths, heat: Heat) -> None:
    heat.status = 500
    run(paths, entry("a", heat))
    heat.status = 200
    run(paths, entry("b", heat, deploy_action="UPDATE"))

    assert len(heat.signals) == 1, "of b alone"
    assert len(calls(paths)) == 2


@pytest.mark.parametrize("status", [404, 405, 409, 410])
def test_what_may_come_from_a_proxy_in_the_place_of_heat_is_not_final(
    paths: Paths, heat: Heat, status: int
) -> None:
    heat.status = status
    assert run(paths, entry("a", heat)) == 1
    heat.status = 200

    assert run(paths, entry("a", heat)) == 0
    assert (len(calls(paths)), len(heat.signals)) == (1, 1)


def test_a_deployment_that_goes_because_another_took_its_place_is_marked(paths: Paths) -> None:
    old, new = entry("old", deploy_action="DELETE"), entry("new")

    run(paths, old, new)
    run(paths, entry("last", deploy_action="DELETE"))

    marked = {call["id"]: given.REPLACED in call for call in calls(paths)}
    assert marked == {"old": True, "new": False, "last": False}


def test_on_a_full_disk_an_answer_takes_the_room_that_was_kept(
    paths: Paths, heat: Heat, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(paths)
    write = record.write_durably

    def full(path: Path, text: str) -> None:
        if any(paths.records.glob(".room")):
            raise OSError(28, "No space left on device", str(path))
        write(path, text)

    monkeypatch.setattr(record, "write_durably", full)

    assert run(paths, entry("a", heat)) == 0
    assert run(paths, entry("a", heat)) == 0
    assert (len(calls(paths)), len(heat.signals)) == (1, 1)


@pytest.mark.parametrize("status", [400, 413])
def test_what_heat_refuses_for_good_is_not_sent_again(paths: Paths, heat: Heat, status: int) -> None:
    heat.status = status

    assert run(paths, entry("a", heat)) == 0
    assert record.Records(paths.records).get("a").state == record.REFUSED  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text", ["{", '{"a": 1}', '[{"no": "id"}]', "[1]", DEEP, f'[{{"id": "a", "config": {DEEP}']
)
def test_bad_metadata_changes_nothing_and_is_asked_for_again(paths: Paths, text: str) -> None:
    paths.pruners.mkdir()
    pruner = paths.pruners / "test"
    pruner.write_text(f"#!/bin/sh\ntouch {paths.records.parent}/pruned\n")
    pruner.chmod(0o755)
    paths.metadata.write_text(text)

    assert agent.run(paths) == 1
    assert calls(paths) == []
    assert not (paths.records.parent / "pruned").exists()


def test_metadata_that_says_nothing_of_deployments_ends_none(paths: Paths) -> None:
    paths.pruners.mkdir()
    paths.metadata.write_text("\n")

    assert agent.run(paths) == 0


def test_hooks_that_keep_something_running_hear_which_deployments_there_are(paths: Paths) -> None:
    paths.pruners.mkdir()
    pruner = paths.pruners / "test"
    pruner.write_text(f"#!/bin/sh\ncat > {paths.records.parent}/pruned\n")
    pruner.chmod(0o755)

    assert run(paths, entry("a"), entry("b", deploy_resource_name="other")) == 0
    assert json.loads((paths.records.parent / "pruned").read_text()) == ["one/11/pods", "one/11/other"]


def test_a_group_without_a_hook_is_a_failure_that_heat_hears_of(paths: Paths, heat: Heat) -> None:
    assert run(paths, entry("a", heat, group="chef")) == 0
    assert heat.signals[0]["deploy_status_code"] == 1
    assert "no hook for group 'chef'; it has: test" in heat.signals[0]["deploy_stderr"]


def test_a_hook_that_breaks_is_a_failure_with_what_it_said(paths: Paths, heat: Heat) -> None:
    hook(paths, "echo no json; echo why >&2; exit 3")

    run(paths, entry("a", heat))

    assert heat.signals == [{"deploy_stdout": "no json\n", "deploy_stderr": "why\n", "deploy_status_code": 3}]


def test_a_hook_that_ends_well_but_says_nonsense_is_a_failure(paths: Paths, heat: Heat) -> None:
    hook(paths, "echo no json")

    run(paths, entry("a", heat))

    assert heat.signals[0]["deploy_status_code"] == 1
    assert "ended with status 0, but printed no answer as JSON" in heat.signals[0]["deploy_stderr"]


def test_one_failure_keeps_no_other_deployment_from_running(paths: Paths, heat: Heat) -> None:
    hook(paths, "exit 1", name="broken")

    assert run(paths, entry("a", heat, group="broken"), entry("b", heat)) == 0
    assert [signal["deploy_status_code"] for signal in heat.signals] == [1, 0]


def test_a_component_runs_the_tool_of_its_action(paths: Paths, heat: Heat) -> None:
    tools = {"configs": [{"actions": ["CREATE"], "tool": "test", "config": "of create"}]}
    create = {**entry("a", heat), "group": "component", "config": tools}
    update = {**entry("b", heat, deploy_action="UPDATE"), "group": "component", "config": tools}

    assert run(paths, create) == 0
    assert run(paths, update) == 0
    assert [call["config"] for call in calls(paths)] == ["of create"]


def test_text_that_looks_like_a_number_stays_text(paths: Paths) -> None:
    run(paths, entry("a", count=3))

    assert {item["name"]: item["value"] for item in calls(paths)[0]["inputs"]}["count"] == "3"


def test_zaqar_is_refused_and_said(caplog: pytest.LogCaptureFixture, paths: Paths) -> None:
    assert run(paths, entry("a", deploy_queue_id="queue")) == 0
    assert "ZAQAR_SIGNAL is not supported" in caplog.text


def test_a_record_that_a_crash_broke_means_that_the_work_is_done_again(paths: Paths, heat: Heat) -> None:
    run(paths, entry("a", heat))
    (paths.records / "a.json").write_text('{"state": "sig')

    assert run(paths, entry("a", heat)) == 0
    assert len(calls(paths)) == 2


def test_old_records_go_and_those_of_now_stay(paths: Paths) -> None:
    records = record.Records(paths.records)
    for number in range(150):
        records.put(f"old-{number}", record.Record(state=record.SIGNALLED, answer={}))
    run(paths, entry("a"))

    assert len(list(paths.records.glob("*.json"))) == 101
    assert records.get("a") is not None


@pytest.mark.parametrize("character", ["x", "…", '"'])
def test_a_signal_fits_into_what_heat_reads(character: str) -> None:
    answer = {"deploy_stdout": character * 2_000_000, "deploy_stderr": "short", "deploy_status_code": 0}

    body = signalling.fitted(answer)

    assert 900_000 < len(body) <= 1_000_000
    assert json.loads(body)["deploy_stderr"] == "short"
    assert json.loads(body)["deploy_stdout"].startswith("[beginning cut off]")


def test_a_key_outlives_the_changes_of_a_deployment(tmp_path: Path) -> None:
    path = tmp_path / "metadata"
    path.write_text(json.dumps([entry("a"), entry("b", deploy_action="UPDATE")]))

    first, second = deployment.read(path) or ()

    assert (first.key, first.action) == ("one/11/pods", "CREATE")
    assert (second.key, second.action) == ("one/11/pods", "UPDATE")


def test_a_pass_without_heats_own_metadata_ends_nothing(
    paths: Paths, heat: Heat, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths.launched.write_text("{}")
    monkeypatch.setenv("OS_CONFIG_FILES", "/cache/local.json")
    without = run(paths, entry("a", heat))
    monkeypatch.setenv("OS_CONFIG_FILES", "/cache/heat.json:/cache/local.json")

    assert (without, calls(paths)) == (1, [])
    assert run(paths, entry("a", heat)) == 0


def test_two_passes_do_not_run_side_by_side(paths: Paths) -> None:
    with paths.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        assert run(paths, entry("a")) == 1
    assert calls(paths) == []


@pytest.mark.parametrize(("now", "sent"), [({"a"}, 1), ({"b"}, 0), (set(), 0)])
def test_an_answer_is_sent_only_to_what_heat_still_wants(
    paths: Paths, heat: Heat, monkeypatch: pytest.MonkeyPatch, now: set[str], sent: int
) -> None:
    monkeypatch.setattr(metadata, "current_ids", lambda _: now)

    status = run(paths, entry("a", heat))

    assert (status, len(heat.signals)) == (1 - sent, sent)
    assert len(calls(paths)) == 1


@pytest.mark.parametrize(("now", "sent"), [({"a"}, 1), ({"b"}, 0), (set(), 0)])
def test_an_answer_that_was_kept_is_sent_only_to_what_heat_still_wants(
    paths: Paths, heat: Heat, monkeypatch: pytest.MonkeyPatch, now: set[str], sent: int
) -> None:
    """Heat may have taken it, and its response was lost: what it wants now has the same address."""
    heat.status = 503
    run(paths, entry("a", heat))
    heat.signals.clear()
    heat.status = 200
    monkeypatch.setattr(metadata, "current_ids", lambda _: now)

    status = run(paths, entry("a", heat))

    assert (status, len(heat.signals)) == (1 - sent, sent)


def test_after_a_long_hook_an_answer_waits_for_the_next_poll_where_heat_cannot_be_asked(
    paths: Paths, heat: Heat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "_LONG_S", -1)
    assert run(paths, entry("a", heat)) == 1
    assert heat.signals == []
    monkeypatch.undo()

    assert run(paths, entry("a", heat)) == 0
    assert len(heat.signals) == 1
    assert len(calls(paths)) == 1


def test_heat_is_not_asked_where_it_wants_no_signal(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "current_ids", lambda _: frozenset())

    assert run(paths, entry("a")) == 0


def test_heat_is_not_asked_where_it_is_polled_by_other_means(paths: Paths) -> None:
    paths.agent.write_text("[DEFAULT]\ncollectors = cfn\ncollectors = local\n[cfn]\npath = x\n")

    assert metadata.current_ids(paths.agent) is None


@pytest.mark.parametrize("text", ["heat", "[heat]\nno value\n", "[heat", "\udcff", "[heat]\n"])
def test_a_broken_configuration_of_the_collector_ends_no_other_deployment(
    paths: Paths, heat: Heat, text: str
) -> None:
    paths.agent.write_text(text, errors="surrogateescape")

    assert run(paths, entry("a", heat), entry("b")) == 1
    assert len(calls(paths)) == 2
    assert run(paths, entry("a", heat), entry("b")) == 1
    assert len(calls(paths)) == 2


def test_outputs_too_large_for_heat_are_a_failure_that_names_them() -> None:
    body = json.loads(signalling.fitted({"deploy_stdout": "x", "small": 1, "large": "y" * 1_200_000}))

    assert body["deploy_status_code"] == 1
    assert body["deploy_stderr"] == "outputs too large for Heat: large"


# The agent's own configuration


def rendered(metadata: dict[str, Any]) -> str:
    done = subprocess.run(
        [sys.executable, FILES / "templates/etc/os-collect-config.conf"], input=json.dumps(metadata),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def test_without_metadata_the_agent_looks_at_what_the_user_data_left() -> None:
    assert rendered({}).splitlines()[-2:] == ["collectors = heat_local", "collectors = local"]


def test_collectors_that_only_cost_time_are_left_out() -> None:
    heat = {"auth_url": "http://x/v3", "password": "a$b%c"}
    text = rendered(
        {"os-collect-config": {"collectors": ["ec2", "heat", "local"], "heat": heat, "polling_interval": 5}}
    )

    assert "collectors = ec2" not in text
    assert "collectors = heat\ncollectors = local\n" in text
    assert "polling_interval = 5\n" in text
    assert "\n[heat]\nauth_url = http://x/v3\npassword = a$$b%c\n" in text


def test_a_transport_that_heat_has_left_is_left_out() -> None:
    text = rendered(
        {"os-collect-config": {"collectors": ["cfn"], "heat": {"user_id": None}, "cfn": {"path": "x"}}}
    )

    assert "[heat]" not in text
    assert text.endswith("\n[cfn]\npath = x\n")


def test_no_url_of_a_failed_request_is_logged() -> None:
    line = next(line for line in rendered({}).splitlines() if line.startswith("default_log_levels"))

    for name in ("os_collect_config.cfn", "os_collect_config.request", "urllib3"):
        assert f"{name}=ERROR" in line


@pytest.mark.parametrize("main", ["main", "__main__"])  # since 14, before it
def test_every_request_of_os_collect_config_has_an_end(tmp_path: Path, main: str) -> None:
    package = tmp_path / "os_collect_config"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "collect.py").write_text(
        "import requests\n"
        "requests.Session.request = lambda self, *words, **named: print(words, named)\n"
        f"def {main}():\n"
        "    requests.Session().request('GET', 'x')\n"
        "    requests.Session().request('GET', 'y', timeout=5)\n"
    )
    done = subprocess.run(
        [sys.executable, FILES / "os-collect-config"], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{FILES}"},
    )  # fmt: skip

    assert done.stdout.splitlines() == ["('GET', 'x') {'timeout': 60}", "('GET', 'y') {'timeout': 5}"]


@pytest.mark.parametrize(
    ("program", "module"), [("os-collect-config", "collect"), ("os-apply-config", "apply_config")]
)
def test_the_programs_of_a_poll_follow_metadata_that_nest_deeply(
    tmp_path: Path, program: str, module: str
) -> None:
    package = tmp_path / program.replace("-", "_")
    package.mkdir()
    (package / "__init__.py").touch()
    (package / f"{module}.py").write_text(
        "import copy\n"
        "def main():\n"
        "    value = []\n"
        "    for _ in range(9000):\n"
        "        value = [value]\n"
        "    print(len(copy.deepcopy(value)))\n"
    )

    done = subprocess.run(
        [sys.executable, FILES / program], env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout == "1\n"


def test_the_unit_sets_the_locale_that_os_collect_config_survives() -> None:
    assert "Environment=LC_ALL=C" in (FILES / "os-collect-config.service").read_text()
    assert os.access(FILES / "templates/etc/os-collect-config.conf", os.X_OK), "or it is taken for mustache"


@pytest.mark.parametrize("configs", [[], [{}], [{"actions": None}], [{"actions": 3}]])
def test_a_component_with_odd_tools_has_nothing_to_do(tmp_path: Path, configs: object) -> None:
    entry = {"id": "a", "group": "component", "config": {"configs": configs}}
    (tmp_path / "metadata").write_text(json.dumps([entry]))

    (found,) = deployment.read(tmp_path / "metadata") or ()

    assert found.idle


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ('"configs: [{tool: script}]"', "no mapping"), ("null", "no mapping"), ("[]", "no mapping"),
        ('{"configs": 3}', "no mapping"), ('{"configs": [3]}', "no mapping"), ("{}", "no mapping"),
        (DEEP, "no mapping"), (f'{{"configs": {DEEP}}}', "too deeply"),
        (f'{{"configs": [{{"actions": ["DELETE"]}}, {DEEP}]}}', "too deeply"),
        (f'{{"configs": [{{"actions": ["CREATE"], "config": {DEEP}}}]}}', "too deeply"),
    ],
)  # fmt: skip
def test_a_component_whose_tools_cannot_be_read_has_a_problem(tmp_path: Path, config: str, why: str) -> None:
    (tmp_path / "metadata").write_text(f'[{{"id": "a", "group": "component", "config": {config}}}]')

    (found,) = deployment.read(tmp_path / "metadata") or ()

    assert why in found.problem
    assert not found.idle


def test_a_component_whose_tools_cannot_be_read_is_answered(paths: Paths, heat: Heat) -> None:
    run(paths, {**entry("a", heat), "group": "component", "config": "text"}, entry("b", heat))

    assert [signal["deploy_status_code"] for signal in heat.signals] == [1, 0]
    assert "no mapping with a list" in heat.signals[0]["deploy_stderr"]


# Deployments that cannot be read, beside one that can


def pruner_of(paths: Paths) -> Path:
    """A pruner that notes the keys that it is told; the path of its note."""
    paths.pruners.mkdir()
    pruner = paths.pruners / "test"
    pruner.write_text(f"#!/bin/sh\ncat > {paths.records.parent}/pruned\n")
    pruner.chmod(0o755)
    return paths.records.parent / "pruned"


ODD: dict[str, dict[str, Any]] = {
    "config": {"config": {"a": "DEEP"}},
    "an input": {"inputs": [*entry("odd")["inputs"], {"name": "x", "value": "DEEP"}]},
    "inputs without a name": {"inputs": [3, *entry("odd")["inputs"], {}, {"name": []}]},
    "name": {"name": "DEEP"},
}


@pytest.mark.parametrize("part", ODD)
def test_a_deployment_that_cannot_be_read_fails_alone_and_keeps_what_it_has(
    paths: Paths, heat: Heat, part: str
) -> None:
    pruned = pruner_of(paths)
    good = entry("good", heat, deploy_resource_name="other")
    odd = {**entry("odd"), **ODD[part]}
    odd["inputs"] = [*odd["inputs"], {"name": "deploy_signal_id", "value": heat.url}]
    paths.metadata.write_text(json.dumps([odd, good]).replace('"DEEP"', DEEP))

    assert agent.run(paths) == 0
    assert [call["id"] for call in calls(paths)] == ["good"]
    refused, fine = sorted(heat.signals, key=lambda signal: "answer" in signal)
    assert refused["deploy_status_code"] == 1
    assert "Heat's metadata of it cannot be read: " in refused["deploy_stderr"]
    assert fine["answer"] == 42
    assert json.loads(pruned.read_text()) == ["one/11/pods", "one/11/other"]


@pytest.mark.parametrize("inputs", [3, [3], {"name": "x"}, [{"name": "deploy_resource_name", "value": "x"}]])
def test_nothing_is_ended_while_a_key_cannot_be_read(paths: Paths, heat: Heat, inputs: object) -> None:
    pruned = pruner_of(paths)
    odd = {"id": "odd", "group": "test", "inputs": [*inputs, 3] if isinstance(inputs, list) else inputs}

    assert run(paths, odd, entry("last", deploy_action="DELETE"), entry("good", heat)) == 1
    assert {call["id"]: given.REPLACED in call for call in calls(paths)} == {"last": True, "good": False}
    assert not pruned.exists()


def test_an_answer_that_nests_too_deeply_is_a_failure_and_the_hook_does_not_run_again(
    paths: Paths, heat: Heat
) -> None:
    hook(paths, 'python3 -c \'print("[" * 100000 + "]" * 100000)\'', name="deep")

    run(paths, entry("a", heat, group="deep"), entry("b", heat))
    assert run(paths, entry("a", heat, group="deep"), entry("b", heat)) == 0
    assert len(calls(paths)) == 2
    assert [signal["deploy_status_code"] for signal in heat.signals] == [1, 0]


def test_an_address_of_an_odd_form_keeps_no_other_deployment_from_running(paths: Paths, heat: Heat) -> None:
    odd = entry("odd", deploy_auth_url=heat.base)

    assert run(paths, odd, entry("good", heat)) == 1
    assert [signal["answer"] for signal in heat.signals] == [42]


def test_a_server_of_which_heat_says_something_odd_still_hears_which_deployments_it_wants(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployments = f'[3, {{}}, {{"id": "b", "config": {DEEP}}}, {{"id": "a"}}]'

    class Answer:
        text = f'{{"metadata": {{"deployments": {deployments}}}}}'

    class Api:
        def get(self, path: str) -> Answer:
            assert path == "/stacks/s/resources/r/metadata"
            return Answer()

    monkeypatch.setattr("heat_config.api.connect", lambda **_: Api())
    names = ("auth_url", "user_id", "password", "project_id")
    paths.agent.write_text(
        "[heat]\nstack_id = s\nresource_name = r\n" + "".join(f"{name} = x\n" for name in names)
    )

    assert (metadata.current_ids(paths.agent) or frozenset()) >= {"a", "b"}


# Hooks of others, and groups without one


def test_hooks_are_looked_for_where_heat_agents_installs_them_too(
    paths: Paths, heat: Heat, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hook(paths, """echo '{"answer": "own"}'""", name="both")
    hook(paths, """echo '{"answer": "other"}'""", name="both", folder=tmp_path / "more-hooks")
    hook(paths, """echo '{"answer": "other"}'""", name="only", folder=tmp_path / "more-hooks")
    hook(paths, """echo '{"answer": "named"}'""", name="named", folder=tmp_path / "named")
    monkeypatch.setenv("HEAT_CONFIG_HOOKS", str(tmp_path / "named"))

    run(paths, *(entry(name, heat, group=name) for name in ("both", "only", "named", "none")))

    assert [signal.get("answer") for signal in heat.signals] == ["own", "other", "named", None]
    assert "it has: both, named, only, test" in heat.signals[-1]["deploy_stderr"]


@pytest.mark.parametrize("group", ["os-apply-config", "Heat::Ungrouped"])
@pytest.mark.parametrize(
    ("template", "action", "status", "said"),
    [
        ("etc/ntp.conf", "CREATE", 0, "os-apply-config has written etc/ntp.conf"),
        ("etc/os-collect-config.conf", "CREATE", 1, "neither hook nor template for group"),
        ("etc/os-collect-config.conf.oac", "DELETE", 0, "there is nothing to end"),
    ],
)
def test_what_os_apply_config_applies_is_answered(
    paths: Paths, heat: Heat, group: str, template: str, action: str, status: int, said: str
) -> None:
    (paths.hooks.templates / "etc").mkdir(parents=True)
    (paths.hooks.templates / template).touch()

    assert run(paths, entry("a", heat, group=group, deploy_action=action)) == 0
    assert heat.signals[0]["deploy_status_code"] == status
    assert said in heat.signals[0]["deploy_stdout"] + heat.signals[0]["deploy_stderr"]


def test_a_failure_with_no_signal_is_seen(paths: Paths, heat: Heat, caplog: pytest.LogCaptureFixture) -> None:
    paths.console.touch()
    hook(paths, "echo no; exit 3", name="broken")
    silent = [entry("s", group="chef"), entry("t", group="broken"), entry("u")]

    run(paths, *silent)
    heat.status = 503
    run(paths, *silent, entry("a", heat))
    heat.status = 200
    run(paths, *silent, entry("a", heat))
    run(paths, *silent, entry("b", heat))

    untold = "and Heat is not told (NO_SIGNAL)"
    chef = f"deployment pods of group 'chef' failed with status 1, {untold}: this image"
    broken = f"deployment pods of group 'broken' failed with status 3, {untold}"
    assert chef in caplog.text
    said = paths.console.read_text().splitlines()
    assert said[0].startswith(f"heat-config: {chef} has no hook")
    first, second = heat.signals
    assert (first["deploy_status_code"], second["deploy_stderr"]) == (0, "")
    assert first["deploy_stderr"].splitlines()[0].startswith(f"heat-config: also on this server: {chef}")
    assert first["deploy_stderr"].splitlines()[1] == f"heat-config: also on this server: {broken}"
    assert len(calls(paths)) == 4, "t, u, a and b, once each"


def test_the_console_gets_no_control_characters(paths: Paths) -> None:
    paths.console.touch()

    run(paths, {**entry("s", group="chef"), "name": "\x1b[2Jx"})

    assert "\x1b" not in paths.console.read_text()


@pytest.mark.parametrize(("agents", "hooks"), [("-500\n", "0"), ("0\n", "0\n"), ("300\n", "300\n")])
def test_a_hook_is_not_spared_when_memory_runs_out(paths: Paths, agents: str, hooks: str) -> None:
    paths.hooks.oom_score.write_text(agents)
    hook(paths, f"cp {paths.hooks.oom_score} {paths.records.parent}/seen")

    run(paths, entry("a"))

    assert (paths.records.parent / "seen").read_text() == hooks


def test_heat_agents_elements_for_a_hook_bring_no_agent_of_their_own(tmp_path: Path) -> None:
    for name, file, text in (
        ("system", "element-provides", "operating-system"), ("heat-config", "element-deps", "absent"),
        ("package-installs", "README.rst", ""), ("heat-config-json-file", "element-deps", "heat-config"),
    ):  # fmt: skip
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(text)
    folders = f"{tmp_path}:{project_root() / 'elements'}"

    found = element_dependencies.get_elements(["system", "heat-config-json-file", "heat-agent"], folders)

    names = {name for name, _ in found}
    assert names == {"system", "heat-config-json-file", "heat-agent", "package-installs"}
