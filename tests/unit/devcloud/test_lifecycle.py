# SPDX-License-Identifier: Apache-2.0
"""The parts of the one-machine cloud that need no cloud: its place, its files, its door."""

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
from goldsmith.devcloud import config, instance, lifecycle, services, start, tls, venv
from goldsmith.devcloud.instance import PORTS, Place
from goldsmith.devcloud.namespaces import Rooms
from goldsmith.errors import HostError, SpecError

SECRET = {"admin": "a1", "demo": "d1", "encryption": "e1", "service": "s1"}


@pytest.fixture
def here() -> Place:
    place = instance.place("mine")
    place.state.mkdir(parents=True)
    return place


@pytest.fixture
def rendered(here: Place, fake: Callable[..., Path]) -> Path:
    fake("genisoimage")
    config.render(here, venv=Path("/venv"), secret=SECRET, virt_type="qemu")
    return here.state / "etc"


@pytest.mark.parametrize("name", ["", "A", "1a", "a b", "../x", "a" * 22])
def test_a_name_that_is_no_plain_word_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match="is no name for a cloud"):
        instance.place(name)


def test_a_place_is_taken_for_as_long_as_its_lock_is_held(here: Place) -> None:
    with instance.claimed(here) as lock:
        inherited = os.dup(lock)
        with pytest.raises(HostError, match="the cloud mine runs already"), instance.claimed(here):
            pass
    assert here.is_live(), "its process 1 has inherited the lock"

    os.close(inherited)

    assert not here.is_live()
    with pytest.raises(HostError, match="the cloud mine does not run"):
        here.read()


def test_what_tells_afterwards_what_happened_is_kept(here: Place, tmp_path: Path) -> None:
    said = {
        here.log_of("heat"): "heat.log", here.state / "db/heat.db": "heat.db",
        here.state / "nova/instances/a1/console.log": "console-a1.log",
    }  # fmt: skip
    for path in (*said, here.state / "secrets.json"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)

    here.keep(tmp_path / "kept")
    here.keep(tmp_path / "kept")

    assert {path.name: path.read_text() for path in (tmp_path / "kept").iterdir()} == {
        name: path.name for path, name in said.items()
    }


def test_a_record_is_read_while_the_cloud_lives(here: Place) -> None:
    with instance.claimed(here):
        here.write({"pid": 7})

        assert here.read()["pid"] == 7


def test_every_configuration_file_can_be_read_and_names_no_place_outside(rendered: Path) -> None:
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


def test_without_a_program_for_config_drives_it_is_said(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "which", lambda _name: None)

    with pytest.raises(HostError, match="config drives"):
        config.render(here, venv=Path("/venv"), secret=SECRET, virt_type="qemu")


def test_clouds_yaml_leads_every_service_to_loopback(here: Place) -> None:
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
    first = start.seed_key(Path("/env-1"), ["keystone"])
    (tmp_path / "populate.py").write_text("two")

    second = start.seed_key(Path("/env-1"), ["keystone"])

    assert second != first
    assert second != start.seed_key(Path("/env-2"), ["keystone"])
    assert second != start.seed_key(Path("/env-1"), ["keystone", "glance"])


def test_secrets_are_new_each_time_and_kept_for_their_owner(here: Place) -> None:
    first, second = config.new_secrets(), config.new_secrets()
    path = here.state / "secrets.json"
    config.store_secrets(path, first)

    assert set(first.values()).isdisjoint(second.values())
    assert config.read_secrets(path) == first
    assert path.stat().st_mode & 0o077 == 0


def test_a_cloud_that_does_not_run_is_told_so() -> None:
    assert lifecycle.status("nobody") == {"name": "nobody", "running": False, "services": {}}
    assert lifecycle.down("nobody") == []


def test_only_what_is_served_can_be_started_or_stopped() -> None:
    with pytest.raises(SpecError, match="cannot stop cinder"):
        lifecycle.service("stop", "cinder", cloud="mine")
    with pytest.raises(SpecError, match="cannot restart heat"):
        lifecycle.service("restart", "heat", cloud="mine")


def test_what_populate_is_told_names_every_service() -> None:
    ports = dict.fromkeys(PORTS, 1)
    settings = json.loads(json.dumps(config.settings(SECRET, ports, tls=True, quota_mib=None)))

    assert set(settings["catalog"]) | {"identity"} == set(PORTS)
    assert settings["catalog"]["orchestration"] == ["heat", "http://10.77.0.1:8004/v1/%(project_id)s"]
    assert set(settings["doors"]) == set(PORTS)
    assert settings["doors"]["identity"] == "https://127.0.0.1:1/v3"


def test_a_cloud_with_tls_trusts_an_authority_of_its_own(here: Place) -> None:
    assert here.ca is None
    tls.make(here.tls)
    assert here.ca is not None

    trusting, strange = ssl.create_default_context(cafile=here.ca), ssl.create_default_context()

    assert handshake(trusting, tls.server_context(here.tls)) == "127.0.0.1"
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(strange, tls.server_context(here.tls))
    assert (here.tls / "door.pem").stat().st_mode & 0o777 == 0o600


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


def test_clients_of_a_cloud_with_tls_are_told_whom_to_trust(here: Place) -> None:
    here.tls.mkdir()

    config.write_clouds_yaml(here, dict.fromkeys(PORTS, 1), SECRET, {"demo": "d", "admin": "a"})

    client = yaml.safe_load(here.clouds_yaml.read_text())["clouds"]["mine"]
    assert client["cacert"] == str(here.ca)
    assert client["auth"]["auth_url"] == "https://127.0.0.1:1/v3"


@pytest.mark.parametrize("quota", [True, False])
def test_glance_asks_keystone_for_limits_only_where_there_is_a_quota(
    here: Place, fake: Callable[..., Path], quota: bool
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

    with pytest.raises(HostError, match="has no module of libvirt") as e:
        venv._link_libvirt(tmp_path)

    assert e.value.hint == "Debian: apt-get install python3-libvirt"


def test_a_choice_of_services_is_completed_by_what_these_need() -> None:
    assert services.chosen([]) == ("keystone", "placement", "glance", "neutron", "heat", "nova")
    assert services.chosen(["heat", "swift"]) == ("keystone", "heat", "swift")
    assert services.chosen(["nova"]) == ("keystone", "placement", "glance", "neutron", "nova")
    with pytest.raises(SpecError, match="no service 'cinder'"):
        services.chosen(["cinder"])


def test_a_helper_that_has_ended_is_said_with_its_last_words(here: Place) -> None:
    log = here.log_of("dhcp")
    log.parent.mkdir(parents=True, exist_ok=True)
    rooms = Rooms(here=here, pid=1, venv=Path("/venv"))
    fails = ["sh", "-c", "echo bad option at line 3; exit 1"]
    with (
        proc.background(["sh", "-c", "sleep 60"], log_path=here.log_of("libvirtd")) as lives,
        proc.background(fails, log_path=log) as dead,
    ):
        start.require_running(rooms, {"libvirtd": lives})
        dead.wait()

        with pytest.raises(
            HostError, match=r"dhcp ended as soon as it was started\n  \| bad option at line 3"
        ):
            start.require_running(rooms, {"libvirtd": lives, "dhcp": dead})


def test_a_host_that_gives_an_ordinary_user_no_namespaces_is_told(
    monkeypatch: pytest.MonkeyPatch, fake: Callable[..., Path]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    fake("unshare", "echo 'unshare failed: Operation not permitted' >&2; exit 1")

    with pytest.raises(HostError, match=r"(?s)no namespaces.*Operation not permitted") as e:
        lifecycle.up("mine")

    assert "--add-subuids" in (e.value.hint or "")


@pytest.mark.parametrize(("uid", "users"), [(0, set()), (1000, {"--user", "--preserve-credentials"})])
def test_an_ordinary_users_cloud_is_entered_as_its_root(
    here: Place, monkeypatch: pytest.MonkeyPatch, fake: Callable[..., Path], uid: int, users: set[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    calls = fake("nsenter")

    Rooms(here, 77, here.folder / "venv").ask(["true"])

    words = calls.read_text().split()
    assert {"--target", "77", "--net", "--mount", "--pid", "true"} <= set(words)
    assert {"--user", "--preserve-credentials"} & set(words) == users
