# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import configparser
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from goldsmith.core import proc
from goldsmith.devcloud import config
from goldsmith.devcloud.instance import PORTS, Instance
from goldsmith.errors import HostError

SECRET = {"admin": "a1", "demo": "d1", "encryption": "e1", "service": "s1"}


@pytest.fixture
def rendered(here: Instance, fake: Callable[..., Path]) -> Path:
    fake("genisoimage")
    config.render(here, venv=Path("/venv"), secret=SECRET, virt_type="qemu")
    return here.state / "etc"


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


DOMAIN = """<domain><metadata>
<nova:port uuid="4bf8ee66-d0a1-4c5e-9d4b-8a6a9c2f2b10">
  <nova:ip type="fixed" address="10.77.0.190" ipVersion="4"/>
</nova:port></metadata>
<interface type='ethernet'>
  <mac address='fa:16:3e:f9:82:4c'/>
  <target dev='tap4bf8ee66-d0'/>
</interface></domain>
"""


def test_the_address_of_a_server_that_has_ended_is_free_at_once(
    rendered: Path, fake: Callable[..., Path], tmp_path: Path
) -> None:
    """dnsmasq would lease it to the server's network card for an hour, and refuse it to any other."""
    fake("ip")
    released, hosts, hook = fake("dhcp_release"), tmp_path / "hosts", tmp_path / "hook"
    hosts.mkdir()
    hook.write_text((rendered / "libvirt/hooks/qemu").read_text().replace("/run/cloud/dhcp", str(hosts)))

    proc.capture(["sh", hook, "one", "prepare"], stdin=DOMAIN.encode())
    assert [path.read_text() for path in hosts.iterdir()] == ["fa:16:3e:f9:82:4c,10.77.0.190\n"]
    assert released.read_text() == ""

    for _ in range(2):
        proc.capture(["sh", hook, "one", "release"], stdin=DOMAIN.encode())
    assert list(hosts.iterdir()) == []
    assert released.read_text() == "br-cloud 10.77.0.190 fa:16:3e:f9:82:4c\n"


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


def test_clouds_yaml_names_the_authority_of_a_cloud_with_tls(here: Instance) -> None:
    here.tls.mkdir()

    config.write_clouds_yaml(here, dict.fromkeys(PORTS, 1), SECRET, {"demo": "d", "admin": "a"})

    client = yaml.safe_load(here.clouds_yaml.read_text())["clouds"]["mine"]
    assert client["cacert"] == str(here.ca)
    assert client["auth"]["auth_url"] == "https://127.0.0.1:1/v3"


def test_secrets_are_new_each_time_and_kept_for_their_owner(here: Instance) -> None:
    first, second = config.new_secrets(), config.new_secrets()
    path = here.state / "secrets.json"
    config.store_secrets(path, first)

    assert set(first.values()).isdisjoint(second.values())
    assert config.read_secrets(path) == first
    assert path.stat().st_mode & 0o077 == 0


def test_the_input_of_populate_names_every_service() -> None:
    ports = dict.fromkeys(PORTS, 1)
    settings = json.loads(json.dumps(config.settings(SECRET, ports, tls=True, quota_mib=None)))

    assert set(settings["catalog"]) | {"identity"} == set(PORTS)
    assert settings["catalog"]["orchestration"] == ["heat", "http://10.77.0.1:8004/v1/%(project_id)s"]
    assert set(settings["forwarded_urls"]) == set(PORTS)
    assert settings["forwarded_urls"]["identity"] == "https://127.0.0.1:1/v3"


@pytest.mark.parametrize("quota", [True, False])
def test_glance_asks_keystone_for_limits_only_where_there_is_a_quota(
    here: Instance, fake: Callable[..., Path], quota: bool
) -> None:
    fake("genisoimage")
    config.render(here, venv=Path("/venv"), secret=SECRET, virt_type="qemu", quota=quota)
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read(here.state / "etc/glance-api.conf")

    assert parser.getboolean("DEFAULT", "use_keystone_limits") is quota
