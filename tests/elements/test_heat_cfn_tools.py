# SPDX-License-Identifier: Apache-2.0
"""cfn-signal, cfn-get-metadata and cfn-hup against a server that judges requests as Heat's CFN API does."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import pwd
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from heat_config import (
    cfnapi,
    cfngetmetadata,
    cfnhooks,
    cfnhup,
    cfninit,
    cfnmetadata,
    cfnsignal,
    cfnstate,
    deadline,
)

from goldsmith.core.paths import project_root
from tests.support.cfn_heat import ACCESS, SECRET, STACK, CfnHeat

FILES = project_root() / "elements/heat-agent/agent-files"
INIT = cfnmetadata.KEY


@pytest.fixture
def heat() -> Iterator[CfnHeat]:
    heat = CfnHeat()
    yield heat
    heat.end()


@pytest.fixture
def machine(
    tmp_path: Path, heat: CfnHeat, monkeypatch: pytest.MonkeyPatch, fake: Callable[..., Path]
) -> Path:
    """The folder of a server that Heat has launched as the resource `server` of the stack web."""
    fake("setpriv", 'shift 2; exec "$@"')
    monkeypatch.setattr(cfnapi, "SERVER", tmp_path / "cfn-metadata-server")
    monkeypatch.setattr(cfnstate, "LAUNCHED", tmp_path / "cfn-init-data")
    monkeypatch.setattr(cfnstate, "FOLDER", tmp_path / "state")
    monkeypatch.setattr(cfnhup, "FOLDER", tmp_path / "cfn")
    monkeypatch.setattr(cfnsignal, "INSTANCE", tmp_path / "instance-id")
    (tmp_path / "instance-id").write_text("a-server\n")
    (tmp_path / "cfn-metadata-server").write_text(f"{heat.base}/v1/\n")
    (tmp_path / "keys").write_text("AWSAccessKeyId=access\nAWSSecretKey = secret\n")
    (tmp_path / "cfn").mkdir()
    launch(tmp_path, heat, config("at launch"))
    return tmp_path


KEYS = ("--access-key", ACCESS, "--secret-key", SECRET)
SERVER = ("-s", STACK, "-r", "server")
Run = Callable[..., subprocess.CompletedProcess[str]]


def config(text: str) -> dict[str, Any]:
    """A server's metadata that makes cfn-init print this text."""
    return {INIT: {"config": {"commands": {"1": {"command": f"echo {shlex.quote(text)}"}}}}}


def launch(machine: Path, heat: CfnHeat, metadata: dict[str, Any]) -> None:
    (machine / "cfn-init-data").write_text(json.dumps(metadata))
    heat.metadata["server"] = metadata


# cfn-signal


@pytest.fixture
def run(tmp_path: Path, fake: Callable[..., Path], heat: CfnHeat) -> Run:
    """Run lines of user data by bash, as a template has them, with the tools as they are installed."""
    fake("python3", f'exec {sys.executable} "$@"')
    folder = tmp_path / "opt/aws/bin"
    folder.mkdir(parents=True)
    (tmp_path / "files").symlink_to(FILES)  # a path without spaces, as it is in the image
    tool = (FILES / "cfn-tool").read_text().replace("/usr/lib/heat-config", str(tmp_path / "files"))
    for name in ("cfn-signal", "cfn-get-metadata", "cfn-hup", "cfn-init"):
        (folder / name).write_text(tool)
        (folder / name).chmod(0o755)

    def call(lines: str, **variables: str) -> subprocess.CompletedProcess[str]:
        script = lines.replace("/opt/aws/bin/", f"{folder}/").replace("/usr/bin/cfn", f"{folder}/cfn")
        env = {**os.environ, **variables}
        return subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=False)

    return call


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        ("""/opt/aws/bin/cfn-signal -e 1 -r "$1" '{}'""", "FAILURE", "Failed to run cfn-init"),
        (
            """/opt/aws/bin/cfn-signal -e 0 -r "MySQL Database setup complete" '{}'""",
            "SUCCESS", "MySQL Database setup complete",
        ),
        ("""(exit 3)\n/opt/aws/bin/cfn-signal -e $? '{}'""", "FAILURE", "Configuration Complete"),
        (
            "/opt/aws/bin/cfn-signal -e 0 --data \"${{DNS_SEC_KEY}}\" -r 'Broker setup complete' ${{HANDLE}}",
            "SUCCESS", "Broker setup complete",
        ),
        (
            """/usr/bin/cfn-signal -e 0 -s "Broker 1 setup complete" -i "broker.example" "{}" """,
            "SUCCESS", "Configuration Complete",
        ),
    ],
    ids=["wordpress", "mysql", "puppet", "openshift", "openshift-ha"],
)  # fmt: skip
def test_lines_of_templates_signal_their_wait_condition(
    run: Run, heat: CfnHeat, line: str, status: str, reason: str
) -> None:
    lines = f"set -- 'Failed to run cfn-init'\n{line.format(heat.handle)}"

    done = run(lines, HANDLE=heat.handle, DNS_SEC_KEY="a key")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (signal,) = heat.signals
    assert (signal["Status"], signal["Reason"]) == (status, reason)
    assert ("--data" in line, "-i" in line) == (
        signal["Data"] == "a key",
        signal["UniqueId"] == "broker.example",
    )


@pytest.mark.programs("curl")
def test_the_lines_of_heats_native_wait_condition_signal_it(run: Run, heat: CfnHeat) -> None:
    notify = (
        "curl -i -X POST -H 'X-Auth-Token: token' -H 'Content-Type: application/json' "
        f"-H 'Accept: application/json' {heat.base}/v1/p/stacks/web/1/resources/wait_handle/signal"
    )
    bodies = [
        {"status": "SUCCESS"}, {"status": "SUCCESS", "reason": "signal2"},
        {"status": "SUCCESS", "reason": "signal3", "data": "data3"}, {"status": "SUCCESS", "id": "5"},
    ]  # fmt: skip

    done = run("\n".join(f"{notify} --data-binary '{json.dumps(body)}'" for body in bodies))

    assert done.returncode == 0, done.stderr
    assert heat.signals == bodies


def test_a_signal_counts_once_for_each_server(heat: CfnHeat, machine: Path) -> None:
    assert cfnsignal.main([heat.handle]) == 0
    (machine / "instance-id").unlink()
    assert cfnsignal.main([heat.handle]) == 0

    assert heat.signals[0] == {
        "Status": "SUCCESS", "Reason": "Configuration Complete", "UniqueId": "a-server",
        "Data": "Application has completed configuration.",
    }  # fmt: skip
    assert heat.signals[1]["UniqueId"] not in ("", "a-server")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("-s", "true"), "SUCCESS"), (("-s", "false"), "FAILURE"), (("--success", "no"), "FAILURE"),
        (("-e", "0"), "SUCCESS"), (("-e", "0", "-s", "false"), "SUCCESS"), (("--exit", "1"), "FAILURE"),
        (("--exit-code", "255"), "FAILURE"), (("-e", ""), "FAILURE"), (("-e", "x"), "FAILURE"),
        (("-k",), "SUCCESS"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("machine")
def test_the_status_follows_the_options(heat: CfnHeat, words: tuple[str, ...], status: str) -> None:
    assert cfnsignal.main([*words, heat.handle]) == 0
    assert heat.signals[0]["Status"] == status


@pytest.mark.parametrize("status", [302, 400, 403, 404, 500])
@pytest.mark.usefixtures("machine")
def test_a_signal_that_heat_does_not_accept_is_a_failure(
    heat: CfnHeat, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    heat.status = status

    assert cfnsignal.main(["-e", "0", heat.handle]) == 1
    assert capsys.readouterr().err == f"cfn-signal: the signal was not accepted: {status}: an answer\n"


@pytest.mark.usefixtures("machine")
def test_a_signal_whose_answer_does_not_end_is_a_failure(
    heat: CfnHeat, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heat.drips = True
    monkeypatch.setattr(deadline, "REQUEST_S", 0.3)

    assert cfnsignal.main(["-e", "0", heat.handle]) == 1
    assert "not delivered: no whole answer in 0.3 s" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (
            ("-e", "0", "--stack", "web", "--resource", "server", "--region", "x"),
            "not by --stack and --resource",
        ),
        (("-e", "0"), "the URL of a wait condition's handle is needed"),
        (("-e", "0", "WaitHandle"), "the URL of a wait condition's handle is needed"),
        (("--role", "x", "http://x/"), "unrecognized arguments: --role"),
    ],
)
@pytest.mark.usefixtures("machine")
def test_signals_that_heat_does_not_know_are_refused(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], why: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        cfnsignal.main(words)

    assert ended.value.code == 2
    assert why in capsys.readouterr().err


# Asking Heat


def test_the_signature_is_keystones_own() -> None:
    """The value is that of keystoneclient.contrib.ec2.utils.Ec2Signer for this request."""
    params = {
        "Action": "DescribeStackResource", "StackName": "my stack/é+~", "LogicalResourceId": "a.b_c",
        "AWSAccessKeyId": "AK", "SignatureVersion": "2", "SignatureMethod": "HmacSHA256",
        "ContentType": "JSON",
    }  # fmt: skip

    signed = cfnapi._signed("http://10.0.0.1:8000/v1/", params, "s3cret/+=")

    assert (
        dict(parse_qsl(urlsplit(signed).query))["Signature"] == "2MuA2XDJRM2GE29H3p/NFIoQ7YWwz/KfzvVm1CJp5eM="
    )


@pytest.mark.parametrize("url", ["{}", "{}/", "{}/v1", "{}/v1/"])
def test_heats_address_has_its_version_or_not(heat: CfnHeat, machine: Path, url: str) -> None:
    (machine / "cfn-metadata-server").write_text(url.format(heat.base))
    keys = cfnapi.read_keys(machine / "keys")

    assert cfnapi.describe(stack="web", resource="server", keys=keys) == config("at launch")


@pytest.mark.parametrize("status", [302, 307, 404, 503])
def test_a_signature_is_for_one_server_and_no_other(heat: CfnHeat, machine: Path, status: int) -> None:
    heat.status = status
    keys = cfnapi.read_keys(machine / "keys")

    with pytest.raises(cfnapi.ApiError, match=f"Heat answers {status} for server of web"):
        cfnapi.describe(stack="web", resource="server", keys=keys)


@pytest.mark.parametrize(
    ("text", "why"),
    [("AWSAccessKeyId=a\n", "has no AWSSecretKey"), ("", "has no AWSAccessKeyId"), (None, "No such file")],
)
def test_keys_that_are_not_there_are_said(tmp_path: Path, text: str | None, why: str) -> None:
    if text is not None:
        (tmp_path / "keys").write_text(text)

    with pytest.raises(cfnapi.ApiError, match=why):
        cfnapi.read_keys(tmp_path / "keys")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"DescribeStackResourceResponse": 3}', "[" * 100_000])
def test_an_answer_without_metadata_is_said(text: str) -> None:
    with pytest.raises(cfnapi.ApiError, match="has no metadata of a resource"):
        cfnapi._metadata(text)


# cfn-get-metadata

NESTED = {"foo": {"bar.1": [1], "off": False, "none": None}, "x": "y"}


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        ((), NESTED), (("-k", "x"), "y"), (("-k", "foo"), NESTED["foo"]), (("-k", "foo.'bar.1'"), [1]),
        (("-k", "foo.off"), False),
    ],
)  # fmt: skip
def test_metadata_are_printed_as_json(
    heat: CfnHeat, machine: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], printed: object
) -> None:
    heat.metadata["server"] = NESTED

    assert cfngetmetadata.main([*SERVER, "--credential-file", str(machine / "keys"), *words]) == 0
    assert json.loads(capsys.readouterr().out) == printed


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("-k", "none"), "the metadata of server have no none"), (("-k", "x.y"), "have no x.y"),
        (("-k", "a..b"), "is no key"), (("--credential-file", "/nowhere"), "cannot read /nowhere"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("machine")
def test_metadata_that_are_not_there_are_a_failure(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], why: str
) -> None:
    assert cfngetmetadata.main([*SERVER, *KEYS, *words]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert why in said.err


def test_without_an_answer_from_heat_the_metadata_of_the_machine_are_printed(
    heat: CfnHeat, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heat.metadata["server"] = {"new": 1}
    elsewhere = cfngetmetadata.main([*SERVER, *KEYS, "-u", "http://127.0.0.1:1/v1/"])
    said = capsys.readouterr()
    without_keys = cfngetmetadata.main([*SERVER, "--region", "here"])

    assert (elsewhere, without_keys) == (0, 0)
    assert json.loads(said.out) == json.loads(capsys.readouterr().out) == config("at launch")
    assert "no answer from Heat: ConnectionError: Connection refused" in said.err
    assert "secret" not in said.err
    assert not (machine / "state").exists(), "what is printed is not what was applied"


# cfn-init


def test_with_keys_cfn_init_applies_what_heat_has_now(
    heat: CfnHeat, machine: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    heat.metadata["server"] = config("of now")

    assert cfninit.main([*SERVER, *KEYS, "--region", "here"]) == 0
    assert "of now" in capfd.readouterr().out


@pytest.mark.parametrize("words", [(), SERVER, (*SERVER, "--access-key", "access", "--secret-key", "wrong")])
@pytest.mark.usefixtures("machine")
def test_else_it_applies_what_heat_had_at_launch(
    heat: CfnHeat, capfd: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    heat.metadata["server"] = config("of now")

    assert cfninit.main(words) == 0
    said = capfd.readouterr()
    assert "at launch" in said.out
    assert ("Heat answers 403" in said.err) == ("wrong" in words)


# cfn-hup


def hook(machine: Path, name: str = "reloader", **values: str) -> None:
    """Configure a hook that notes each run of its action."""
    me = pwd.getpwuid(os.getuid()).pw_name
    given = {
        "triggers": "post.update", "path": f"Resources.server.Metadata.{INIT}", "runas": me,
        "action": f"echo {name} >> {machine}/ran", **values,
    }  # fmt: skip
    lines = "".join(f"{key}={value}\n" for key, value in given.items())
    (machine / "cfn/hooks.d").mkdir(exist_ok=True)
    (machine / f"cfn/hooks.d/{name}.conf").write_text(f"[{name}]\n{lines}")
    main = f"[main]\nstack=web\ncredential-file={machine}/keys\nregion=x\ninterval=1\n"
    (machine / "cfn/cfn-hup.conf").write_text(main)


def ran(machine: Path) -> list[str]:
    path = machine / "ran"
    return path.read_text().split() if path.exists() else []


def test_a_change_runs_the_hook_once(heat: CfnHeat, machine: Path) -> None:
    hook(machine)
    cfninit.main(SERVER)
    first, quiet = cfnhup.main(["-f"]), ran(machine)
    heat.metadata["server"] = config("changed")
    second, third = cfnhup.main(["-f", "-v"]), cfnhup.main([])

    assert (first, second, third) == (0, 0, 0)
    assert (quiet, ran(machine)) == ([], ["reloader"])


def test_a_change_before_the_first_call_is_one(heat: CfnHeat, machine: Path) -> None:
    hook(machine)
    cfninit.main(SERVER)
    heat.metadata["server"] = config("changed")

    assert cfnhup.main(["-f"]) == 0
    assert ran(machine) == ["reloader"]


def test_cfn_init_then_applies_the_change_without_keys(
    heat: CfnHeat, machine: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hook(machine)
    cfninit.main(SERVER)
    heat.metadata["server"] = config("changed")
    cfnhup.main(["-f"])
    capfd.readouterr()

    assert cfninit.main(SERVER) == 0
    assert "changed" in capfd.readouterr().out


def test_an_action_that_fails_runs_again(
    heat: CfnHeat, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hook(machine, action=f"echo try >> {machine}/ran; test -e {machine}/good")
    hook(machine, name="other")
    cfninit.main(SERVER)
    heat.metadata["server"] = config("changed")
    failed = cfnhup.main(["-f"])
    (machine / "good").touch()

    assert (failed, cfnhup.main(["-f"]), cfnhup.main(["-f"])) == (1, 0, 0)
    assert sorted(ran(machine)) == ["other", "try", "try"]
    assert "[reloader]: its action ended with status 1" in capsys.readouterr().err


def test_a_call_that_was_killed_loses_no_change(
    heat: CfnHeat, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook(machine)
    cfninit.main(SERVER)
    heat.metadata["server"] = config("changed")

    def killed(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(cfnhup, "_ran", killed)
        with pytest.raises(KeyboardInterrupt):
            cfnhup.main(["-f"])

    assert cfnhup.main(["-f"]) == 0
    assert ran(machine) == ["reloader"]


def test_what_comes_and_what_goes_has_its_trigger(heat: CfnHeat, machine: Path) -> None:
    everything = "post.add, post.update, post.remove"
    hook(machine, name="added", triggers="post.add", path="Resources.server.Metadata.a.b")
    hook(machine, name="removed", triggers="post.delete", path="Resources.server.Metadata.a.b")
    hook(machine, name="any", triggers=everything, path="Resources.server.Metadata.a.'x.y'")
    seen = []
    for metadata in ({}, {"a": {"b": 1}}, {"a": {"b": 2}}, {"a": {"b": {}, "x.y": 1}}, {"a": {"x.y": 2}}, {}):
        heat.metadata["server"] = metadata
        assert cfnhup.main(["-f"]) == 0
        seen.append(" ".join(ran(machine)))
        (machine / "ran").write_text("")

    assert seen == ["", "added", "", "any removed", "any", "any"]


def test_a_heat_that_does_not_answer_is_no_change(
    heat: CfnHeat, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hook(machine, triggers="post.add,post.update,post.remove")
    hook(machine, name="other", path="Resources.other.Metadata", triggers="post.add")
    cfninit.main(SERVER)
    heat.metadata["other"] = {"x": 1}
    heat.status = 503
    down = cfnhup.main(["-f"])
    heat.status = 200
    del heat.metadata["server"]
    gone = cfnhup.main(["-f"])

    assert (down, gone) == (1, 1)
    assert ran(machine) == ["other"], (
        "one resource that cannot be asked for keeps no other one from its hooks"
    )
    assert "Heat answers 503 for server of web" in (said := capsys.readouterr().err)
    assert "Heat answers 404 for server of web" in said


def test_two_calls_do_not_run_side_by_side(heat: CfnHeat, machine: Path) -> None:
    hook(machine, triggers="post.add")
    (machine / "state").mkdir()

    with (machine / "state/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert cfnhup.main(["-f"]) == 0
    assert ran(machine) == []
    assert cfnhup.main(["-f"]) == 0
    assert ran(machine) == ["reloader"]


def test_what_is_known_does_not_hold_for_a_server_from_a_snapshot(
    heat: CfnHeat, machine: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hook(machine, triggers="post.update, post.add")
    cfninit.main(SERVER)
    heat.metadata["server"] = config("changed")
    cfnhup.main(["-f"])
    launch(machine, heat, config("of the other server"))
    capfd.readouterr()

    assert cfninit.main(SERVER) == 0
    assert "of the other server" in capfd.readouterr().out
    assert cfnhup.main(["-f"]) == 0
    assert ran(machine) == ["reloader"], "that of the first server alone"


@pytest.mark.parametrize("text", ["", "[]", "{", "3"])
def test_what_a_crash_broke_is_not_known(heat: CfnHeat, machine: Path, text: str) -> None:
    hook(machine, triggers="post.add")
    cfninit.main(SERVER)
    (machine / "state/metadata-server.json").write_text(text)
    (machine / "state/hooks.json").write_text(text)

    assert cfnhup.main(["-f"]) == 0
    assert ran(machine) == ["reloader"]


def test_what_is_known_is_for_root_alone(machine: Path) -> None:
    hook(machine)
    cfninit.main(SERVER)
    cfnhup.main(["-f"])

    modes = {path.name: path.stat().st_mode & 0o77 for path in (machine / "state").iterdir()}
    assert modes.pop("lock") is not None
    assert modes == {"metadata-server.json": 0, "sets-server.json": 0, "hooks.json": 0}
    assert (machine / "state").stat().st_mode & 0o777 == 0o700


def test_the_configuration_of_the_template_with_high_availability_runs(
    heat: CfnHeat, machine: Path, fake: Callable[..., Path]
) -> None:
    """Hooks are in hooks.conf; a service of cfn-init that has stopped is started, and its hook is told."""
    calls = fake(
        "systemctl", 'case "$*" in "is-active httpd") echo inactive; exit 3 ;; is-*) echo active ;; esac'
    )
    services = {"httpd": {"enabled": "true", "ensureRunning": "true"}, "crond": {"ensureRunning": "true"}}
    stopped = {"mysqld": {"ensureRunning": "false"}}
    launch(machine, heat, {INIT: {"config": {"services": {"systemd": services, "sysvinit": stopped}}}})
    hook(machine, path="Resources.server.Metadata")
    (machine / "cfn/hooks.d/reloader.conf").unlink()
    me = pwd.getpwuid(os.getuid()).pw_name
    (machine / "cfn/hooks.conf").write_text(
        "[cfn-http-restarted]\ntriggers=service.restarted\npath=Resources.server.Metadata\n"
        f"action=echo restarted >> {machine}/ran\nrunas={me}\n"
    )

    assert cfnhup.main(["-f"]) == 0
    assert ran(machine) == ["restarted"]
    assert calls.read_text().splitlines() == ["is-active httpd", "start httpd", "is-active crond"]


@pytest.mark.parametrize(
    ("applied", "started"),
    [(["a"], ["one"]), (["a", "b"], ["one", "two"]), (["a,gone"], ["one"]), (["gone"], []), ([], [])],
)
def test_services_of_the_sets_that_cfn_init_applied_are_started(
    heat: CfnHeat, machine: Path, fake: Callable[..., Path], applied: list[str], started: list[str]
) -> None:
    """Metadata without a set `default` are no failure."""
    calls = fake("systemctl", 'case "$1" in is-active) echo inactive; exit 3 ;; esac')
    configs = {name: {"services": {"systemd": {name: {"ensureRunning": "true"}}}} for name in ("one", "two")}
    sets = {"a": ["one"], "b": ["two"]}
    launch(machine, heat, {INIT: {"configSets": {**sets, "gone": []}, **configs}})
    for each in applied:
        assert cfninit.main([*SERVER, "-c", each]) == 0
    launched = calls.read_text() if calls.exists() else ""
    heat.metadata["server"] = {INIT: {"configSets": sets, **configs}}
    hook(machine, triggers="service.restarted", path="Resources.server.Metadata")

    assert cfnhup.main(["-f"]) == 0
    said = (calls.read_text() if calls.exists() else "").removeprefix(launched).splitlines()
    assert [line for line in said if line.startswith("start ")] == [f"start {name}" for name in started]


def test_an_action_runs_as_its_user(heat: CfnHeat, machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nobody = pwd.getpwnam("nobody")
    options = cfnhup._user("nobody")
    hook(machine, triggers="post.add", runas="no-such-user")

    assert (options["user"], options["group"]) == (nobody.pw_uid, nobody.pw_gid)
    assert (options["env"]["HOME"], options["env"]["USER"]) == (nobody.pw_dir, "nobody")
    assert cfnhup.main(["-f"]) == 1
    assert "there is no user 'no-such-user'" in capsys.readouterr().err


def test_a_per_cent_sign_is_one(heat: CfnHeat, machine: Path) -> None:
    hook(machine, triggers="post.add", action=f"printf '%%s %s' a b > {machine}/ran")

    assert cfnhup.main(["-f"]) == 0
    assert ran(machine) == ["a", "b"]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"triggers": "post.updated"}, "the trigger 'post.updated' is not known here, only post.add"),
        ({"triggers": ""}, "[reloader] has no triggers"),
        ({"path": "Resources.server.PhysicalResourceId"}, "the path must be Resources.NAME.Metadata"),
        ({"path": "Resources.server"}, "the path must be Resources.NAME.Metadata"),
        ({"path": "Resources..Metadata"}, "is no key"),
        ({"action": ""}, "[reloader] has no action"),
        ({"runas": ""}, "[reloader] has no runas"),
        ({"timeout": "3"}, "'timeout' is not known here, only action, path, runas, triggers"),
        ({"action": "x\nno value"}, "parsing errors"),
    ],
)
@pytest.mark.usefixtures("heat")
def test_a_hook_that_is_not_understood_is_refused_before_any_runs(
    machine: Path, capsys: pytest.CaptureFixture[str], values: dict[str, str], why: str
) -> None:
    hook(machine, name="good", triggers="post.add")
    hook(machine, **values)

    assert cfnhup.main(["-f"]) == 2
    assert why in (said := capsys.readouterr().err)
    assert "nothing was done" in said
    assert ran(machine) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "No such file or directory"),
        ("[main]\nstack=web\n", "[main] has no credential-file"),
        ("[main]\ncredential-file=x\n", "[main] has no stack"),
        ("[main]\nstack=web\ncredential-file=x\non-command=y\n", "'on-command' is not known here"),
        ("[hook]\nstack=web\n", "needs one section, [main]"),
        ("stack=web\n", "File contains no section headers"),
    ],
)
def test_a_main_configuration_that_is_not_understood_is_refused(
    machine: Path, capsys: pytest.CaptureFixture[str], text: str | None, why: str
) -> None:
    hook(machine)
    (machine / "cfn/cfn-hup.conf").unlink()
    if text is not None:
        (machine / "cfn/cfn-hup.conf").write_text(text)

    assert cfnhup.main([]) == 2
    assert why in capsys.readouterr().err


def test_hooks_may_be_in_another_folder_and_must_be_somewhere(
    machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hook(machine, triggers="post.add")
    (machine / "cfn/hooks.d").rename(machine / "others")
    none = cfnhup.main(["-f"])
    (machine / "others/.reloader.conf.swp").write_text("no hook")
    (machine / "others/reloader.conf~").write_text("no hook")
    some = cfnhup.main(["-f", "-c", str(machine / "others")])

    assert (none, some) == (2, 0)
    assert "there is no hook in" in capsys.readouterr().err
    assert ran(machine) == ["reloader"]


def test_two_hooks_of_one_path_are_refused(machine: Path) -> None:
    hook(machine)
    (machine / "cfn/hooks.d/again.conf").write_text((machine / "cfn/hooks.d/reloader.conf").read_text())

    with pytest.raises(cfnmetadata.RefusedError, match=r"two hooks \[reloader\] of one path"):
        cfnhooks.read(machine / "cfn", machine / "cfn/hooks.d")


# In the image


@pytest.mark.parametrize(
    ("hooks", "tools"),
    [
        ("script cfn-init", ["cfn-get-metadata", "cfn-hup", "cfn-init", "cfn-signal"]),
        ("script", ["cfn-init"]),
    ],
)
def test_an_image_with_the_hook_has_all_tools_by_both_paths(
    element: Callable[[str], Path], fake: Callable[..., Path], tmp_path: Path, hooks: str, tools: list[str]
) -> None:
    fake("systemctl")
    calls = fake("python3", "exit 0")
    script = element("heat-agent") / "install.d/55-heat-agent"
    (tmp_path / "root/etc").mkdir()
    env = {**os.environ, "DIB_HEAT_HOOKS": hooks, "DIB_HEAT_POLLING_INTERVAL": "30"}

    done = subprocess.run(["bash", str(script)], env=env, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    for folder in ("usr/bin", "opt/aws/bin"):
        assert sorted(path.name for path in (tmp_path / "root" / folder).iterdir()) == tools
    for name in tools:
        subprocess.run([tmp_path / "root/opt/aws/bin" / name, "--help"], check=True)
        module = f"heat_config.{name.replace('-', '')}"
        assert calls.read_text().splitlines()[-1] == f"-sP -m {module} --help"
        assert importlib.util.find_spec(module) is not None
