# SPDX-License-Identifier: Apache-2.0
"""The parts of the test cloud that need no cloud: its folder, its files, its certificates."""

from __future__ import annotations

import configparser
import contextlib
import json
import os
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.core import proc
from goldsmith.devcloud import (
    answers,
    config,
    instance,
    lifecycle,
    namespaces,
    seed,
    services,
    start,
    tls,
    venv,
)
from goldsmith.devcloud.instance import PORTS, CloudRecord, Instance
from goldsmith.devcloud.namespaces import Namespaces
from goldsmith.errors import HostError, SpecError

SECRET = {"admin": "a1", "demo": "d1", "encryption": "e1", "service": "s1"}


@pytest.fixture
def here() -> Instance:
    cloud = instance.named("mine")
    cloud.state.mkdir(parents=True)
    return cloud


@pytest.fixture
def rendered(here: Instance, fake: Callable[..., Path]) -> Path:
    fake("genisoimage")
    config.render(here, venv=Path("/venv"), secret=SECRET, virt_type="qemu")
    return here.state / "etc"


@pytest.mark.parametrize("name", ["", "A", "1a", "a b", "../x", "a" * 22])
def test_an_invalid_name_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match="is no valid name for a cloud"):
        instance.named(name)


def test_a_cloud_is_live_for_as_long_as_its_lock_is_held(here: Instance) -> None:
    with instance.claimed(here) as lock:
        inherited = os.dup(lock)
        with pytest.raises(HostError, match="the cloud mine runs already"), instance.claimed(here):
            pass
    assert here.is_live(), "its process 1 has inherited the lock"

    os.close(inherited)

    assert not here.is_live()
    with pytest.raises(HostError, match="the cloud mine does not run"):
        here.read()


def test_logs_databases_and_consoles_are_kept(here: Instance, tmp_path: Path) -> None:
    sources = {
        here.log_of("heat"): "heat.log", here.state / "db/heat.db": "heat.db",
        here.state / "nova/instances/a1/console.log": "console-a1.log",
    }  # fmt: skip
    for path in (*sources, here.state / "secrets.json"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)

    here.keep(tmp_path / "kept")
    here.keep(tmp_path / "kept")

    assert {path.name: path.read_text() for path in (tmp_path / "kept").iterdir()} == {
        name: path.name for path, name in sources.items()
    }


RECORD = CloudRecord(name="mine", pid=7, venv="/v", ports={"image": 1}, services=("glance",))


def test_a_record_is_read_while_the_cloud_is_live(here: Instance) -> None:
    with instance.claimed(here):
        RECORD.write(here.record)

        assert here.read() == RECORD


def test_a_record_from_before_durable_clouds_is_read(here: Instance) -> None:
    data = RECORD.as_dict()
    del data["durable"]
    with instance.claimed(here):
        here.record.write_text(json.dumps(data))

        assert here.read() == RECORD


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """The process 1 of each cloud that was ended."""
    found: list[int | None] = []

    def end(_cloud: Instance, pid: int | None) -> list[str]:
        found.append(pid)
        return []

    monkeypatch.setattr(namespaces, "end", end)
    return found


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"pid": 7}, "is not a goldsmith.cloud document"),
        ({**RECORD.as_dict(), "version": 2}, "has version 2 of goldsmith.cloud"),
        ({**RECORD.as_dict(), "pid": None}, "pid: expected int"),
        ([], "it is no JSON object"),
        ("{", "no JSON"),
    ],
)
def test_a_cloud_whose_record_is_unusable_can_be_ended(
    here: Instance, ended: list[int | None], record: object, message: str
) -> None:
    with instance.claimed(here):
        here.record.write_text(record if isinstance(record, str) else json.dumps(record))

        with pytest.raises(HostError, match=message) as e:
            lifecycle.status("mine")
        removed = lifecycle.down("mine")

    assert "scripts/inv cloud-down --name mine" in str(e.value.hint)
    assert ended == [None], "its processes are found by their marks"
    assert removed == [f"removed {here.folder}"]


def test_a_running_cloud_is_ended_by_its_process_1(here: Instance, ended: list[int | None]) -> None:
    with instance.claimed(here):
        RECORD.write(here.record)
        lifecycle.down("mine")

    assert ended == [7]


def test_every_configuration_file_can_be_read_and_names_no_path_outside(rendered: Path) -> None:
    for path in [path for path in rendered.iterdir() if path.suffix in {".conf", ".ini"}]:
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(path)

        assert parser.sections(), path
        text = path.read_text()
        assert str(rendered.parent) not in text, "seen as /run/cloud inside: a seed may be used elsewhere"
        assert path.stat().st_mode & 0o077 == 0


def test_services_log_in_with_the_clouds_own_password(rendered: Path) -> None:
    for name, user in (("glance-api", "glance"), ("heat", "heat"), ("nova", "nova"), ("neutron", "neutron")):
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(rendered / f"{name}.conf")
        section = parser["keystone_authtoken"]

        assert (section["username"], section["password"]) == (user, "s1")
        assert section["auth_url"] == "http://10.77.0.1:5000/v3"


def test_the_hook_can_be_executed_and_names_the_bridge(rendered: Path) -> None:
    hook = rendered / "libvirt/hooks/qemu"

    assert os.access(hook, os.X_OK)
    assert "master br-cloud up" in hook.read_text()


def test_a_missing_program_for_config_drives_is_reported(
    here: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proc, "which", lambda _name: None)

    with pytest.raises(HostError, match="config drives"):
        config.render(here, venv=Path("/venv"), secret=SECRET, virt_type="qemu")


def test_clouds_yaml_leads_every_service_to_loopback(here: Instance) -> None:
    ports = {kind: 20000 + number for number, kind in enumerate(PORTS)}

    config.write_clouds_yaml(here, ports, SECRET, {"admin": "ap", "demo": "dp"})

    assert here.clouds_yaml.stat().st_mode & 0o777 == 0o600
    clouds = yaml.safe_load(here.clouds_yaml.read_text())["clouds"]
    assert clouds["mine"]["auth"]["password"] == "d1"
    assert clouds["mine-admin"]["auth"]["password"] == "a1"
    for kind, port in ports.items():
        override = clouds["mine"][f"{kind}_endpoint_override"]
        assert re.match(rf"http://127\.0\.0\.1:{port}(/|$)", override)
        assert "%(" not in override
    assert clouds["mine"]["orchestration_endpoint_override"].endswith("/v1/dp")


def test_the_seeds_key_changes_with_what_a_cloud_is_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "folder", lambda: tmp_path)
    (tmp_path / "populate.py").write_text("one")
    first = seed.key(Path("/env-1"), ["keystone"])
    (tmp_path / "populate.py").write_text("two")

    second = seed.key(Path("/env-1"), ["keystone"])

    assert second != first
    assert second != seed.key(Path("/env-2"), ["keystone"])
    assert second != seed.key(Path("/env-1"), ["keystone", "glance"])


def test_secrets_are_new_each_time_and_kept_for_their_owner(here: Instance) -> None:
    first, second = config.new_secrets(), config.new_secrets()
    path = here.state / "secrets.json"
    config.store_secrets(path, first)

    assert set(first.values()).isdisjoint(second.values())
    assert config.read_secrets(path) == first
    assert path.stat().st_mode & 0o077 == 0


def test_a_cloud_that_does_not_run_has_this_status() -> None:
    assert lifecycle.status("nobody") == answers.CloudStatus(name="nobody", running=False, services={})
    assert lifecycle.down("nobody") == []


def test_only_what_is_served_can_be_started_or_stopped() -> None:
    with pytest.raises(SpecError, match="cannot stop cinder"):
        lifecycle.service("stop", "cinder", cloud="mine")
    with pytest.raises(SpecError, match="cannot restart heat"):
        lifecycle.service("restart", "heat", cloud="mine")


def test_the_input_of_populate_names_every_service() -> None:
    ports = dict.fromkeys(PORTS, 1)
    settings = json.loads(json.dumps(config.settings(SECRET, ports, tls=True, quota_mib=None)))

    assert set(settings["catalog"]) | {"identity"} == set(PORTS)
    assert settings["catalog"]["orchestration"] == ["heat", "http://10.77.0.1:8004/v1/%(project_id)s"]
    assert set(settings["forwarded_urls"]) == set(PORTS)
    assert settings["forwarded_urls"]["identity"] == "https://127.0.0.1:1/v3"


def test_a_cloud_with_tls_has_its_own_authority(here: Instance) -> None:
    assert here.ca is None
    tls.make(here.tls)
    assert here.ca is not None

    trusting, strange = ssl.create_default_context(cafile=here.ca), ssl.create_default_context()

    assert handshake(trusting, tls.server_context(here.tls)) == "127.0.0.1"
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(strange, tls.server_context(here.tls))
    assert (here.tls / "server.pem").stat().st_mode & 0o777 == 0o600


def handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> str:
    """Of two contexts, without a network; the name that the client has verified."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for side in (ours, theirs):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    certificate: Any = ours.getpeercert()
    return str(certificate["subject"][0][0][1])


def test_clouds_yaml_names_the_authority_of_a_cloud_with_tls(here: Instance) -> None:
    here.tls.mkdir()

    config.write_clouds_yaml(here, dict.fromkeys(PORTS, 1), SECRET, {"demo": "d", "admin": "a"})

    client = yaml.safe_load(here.clouds_yaml.read_text())["clouds"]["mine"]
    assert client["cacert"] == str(here.ca)
    assert client["auth"]["auth_url"] == "https://127.0.0.1:1/v3"


@pytest.mark.parametrize("quota", [True, False])
def test_glance_asks_keystone_for_limits_only_where_there_is_a_quota(
    here: Instance, fake: Callable[..., Path], quota: bool
) -> None:
    fake("genisoimage")
    config.render(here, venv=Path("/venv"), secret=SECRET, virt_type="qemu", quota=quota)
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read(here.state / "etc/glance-api.conf")

    assert parser.getboolean("DEFAULT", "use_keystone_limits") is quota


def test_a_python_without_libvirt_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(venv, "PYTHON", python)

    with pytest.raises(HostError, match="has no module libvirt") as e:
        venv._link_libvirt(tmp_path)

    assert e.value.hint == "Debian: apt-get install python3-libvirt"


def test_a_choice_of_services_is_completed_by_what_these_need() -> None:
    assert services.chosen([]) == ("keystone", "placement", "glance", "neutron", "heat", "nova")
    assert services.chosen(["heat", "swift"]) == ("keystone", "heat", "swift")
    assert services.chosen(["nova"]) == ("keystone", "placement", "glance", "neutron", "nova")
    with pytest.raises(SpecError, match="no service 'cinder'"):
        services.chosen(["cinder"])


def test_a_helper_that_ended_is_reported_with_the_end_of_its_log(here: Instance) -> None:
    log = here.log_of("dhcp")
    log.parent.mkdir(parents=True, exist_ok=True)
    inside = Namespaces(cloud=here, pid=1, venv=Path("/venv"))
    fails = ["sh", "-c", "echo bad option at line 3; exit 1"]
    with (
        proc.background(["sh", "-c", "sleep 60"], log_path=here.log_of("libvirtd")) as lives,
        proc.background(fails, log_path=log) as dead,
    ):
        start.require_running(inside, {"libvirtd": lives})
        dead.wait()

        with pytest.raises(
            HostError, match=r"dhcp ended as soon as it was started\n  \| bad option at line 3"
        ):
            start.require_running(inside, {"libvirtd": lives, "dhcp": dead})


def test_a_host_that_gives_an_ordinary_user_no_namespaces_is_reported(
    monkeypatch: pytest.MonkeyPatch, fake: Callable[..., Path]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    fake("unshare", "echo 'unshare failed: Operation not permitted' >&2; exit 1")

    with pytest.raises(HostError, match=r"(?s)no namespaces.*Operation not permitted") as e:
        lifecycle.up("mine")

    assert "--add-subuids" in (e.value.hint or "")


@pytest.mark.parametrize(("uid", "users"), [(0, set()), (1000, {"--user", "--preserve-credentials"})])
def test_an_ordinary_users_cloud_is_entered_as_its_root(
    here: Instance, monkeypatch: pytest.MonkeyPatch, fake: Callable[..., Path], uid: int, users: set[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    calls = fake("nsenter")

    Namespaces(here, 77, here.folder / "venv").ask(["true"])

    words = calls.read_text().split()
    assert {"--target", "77", "--net", "--mount", "--pid", "true"} <= set(words)
    assert {"--user", "--preserve-credentials"} & set(words) == users
