# SPDX-License-Identifier: Apache-2.0
"""The configuration of a cloud: files rendered from devcloud/etc, secrets, clouds.yaml for clients."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml

from goldsmith.core import paths, proc
from goldsmith.core.files import in_tool_cache
from goldsmith.devcloud import instance
from goldsmith.devcloud.instance import ADDRESS, URLS, Instance
from goldsmith.errors import HostError

BRIDGE, HOST, PREFIX = "br-cloud", "cloud0", 24
NETWORK = {
    "cidr": "10.77.0.0/24",
    "gateway": ADDRESS,
    "pool": {"start": "10.77.0.100", "end": "10.77.0.199"},
}
# Service type -> name in Keystone's catalog; Keystone adds itself.
NAMES = {
    "image": "glance", "placement": "placement", "network": "neutron", "compute": "nova",
    "orchestration": "heat", "cloudformation": "heat-cfn", "object-store": "swift",
}  # fmt: skip
USERS = ("glance", "heat", "neutron", "nova", "placement", "swift")
_FOLDERS = (
    "db", "dhcp", "durable", "glance/cache", "glance/images", "glance/staging", "glance/tasks",
    "heat/environment.d", "heat/templates", "keys", "neutron/lock", "nova/instances", "nova/lock", "pids",
    "swift/one",
)  # fmt: skip
_MKISOFS = ("genisoimage", "mkisofs", "xorrisofs")
# Path of a service's endpoint; Glance's clients refuse one with a version.
_BELOW = {
    "identity": "/v3", "image": "", "placement": "", "network": "", "compute": "/v2.1",
    "orchestration": "/v1/%(project_id)s", "cloudformation": "/v1",
    "object-store": "/v1/AUTH_%(project_id)s",
}  # fmt: skip


def folder() -> Path:
    """The folder with the cloud's scripts and configuration templates."""
    return paths.shipped("devcloud")


def new_secrets() -> dict[str, str]:
    """Passwords of a new cloud; encryption: the key of Heat's encrypted parameters, 32 characters."""
    return {name: secrets.token_hex(16) for name in ("admin", "demo", "encryption", "service")}


def settings(
    secret: Mapping[str, str], ports: Mapping[str, int], *, tls: bool, quota_mib: int | None
) -> dict[str, Any]:
    """The standard input of populate.py."""
    return {
        "url": dict(URLS), "secret": dict(secret), "users": USERS, "network": NETWORK,
        "forwarded_urls": forwarded_urls(ports, tls=tls), "quota_mib": quota_mib,
        "catalog": {kind: (name, f"{URLS[kind]}{_BELOW[kind]}") for kind, name in NAMES.items()},
    }  # fmt: skip


def forwarded_urls(ports: Mapping[str, int], *, tls: bool) -> dict[str, str]:
    """Service type -> the URL of its forwarded port on this host."""
    scheme = "https" if tls else "http"
    return {kind: f"{scheme}://127.0.0.1:{port}{_BELOW[kind]}" for kind, port in ports.items()}


def render(
    cloud: Instance, *, venv: Path, secret: Mapping[str, str], virt_type: str, quota: bool = False,
    durable: bool = False,
) -> None:  # fmt: skip
    """Write every configuration file to the cloud's etc/, and create the folders that they name."""
    for below in _FOLDERS:
        (cloud.state / below).mkdir(parents=True, exist_ok=True)
    source = folder() / "etc"
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(source), undefined=jinja2.StrictUndefined, autoescape=False,  # noqa: S701
        keep_trailing_newline=True, trim_blocks=True,
    )  # fmt: skip
    values = {
        "address": ADDRESS, "bridge": BRIDGE, "host": HOST, "mkisofs": _mkisofs(), "secret": dict(secret),
        "network": NETWORK["cidr"], "url": dict(URLS), "venv": venv, "virt_type": virt_type,
        "quota": quota, "durable": durable,
    }  # fmt: skip
    for template in sorted(source.rglob("*.j2")):
        name = template.relative_to(source)
        if name.name == "auth.j2":
            continue
        target = cloud.state / "etc" / name.with_suffix("")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(environment.get_template(str(name)).render(values))
        target.chmod(0o700 if "hooks" in name.parts else 0o600)


def write_clouds_yaml(
    cloud: Instance, ports: Mapping[str, int], secret: Mapping[str, str], projects: Mapping[str, str]
) -> None:
    """clouds.yaml for clients on this host: NAME is the user demo, NAME-admin the administrator."""
    clouds = {
        cloud.name: _client(cloud, "demo", secret["demo"], ports, projects["demo"]),
        f"{cloud.name}-admin": _client(cloud, "admin", secret["admin"], ports, projects["admin"]),
    }
    cloud.clouds_yaml.touch(mode=0o600)
    cloud.clouds_yaml.write_text(yaml.safe_dump({"clouds": clouds}, sort_keys=True))


def read_secrets(path: Path) -> dict[str, str]:
    """Passwords as store_secrets() wrote them."""
    return dict(json.loads(path.read_text()))


def store_secrets(path: Path, secret: Mapping[str, str]) -> None:
    """Write passwords to a file that only its owner may read."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as sink:
        json.dump(dict(secret), sink)


def _client(
    cloud: Instance, user: str, password: str, ports: Mapping[str, int], project_id: str
) -> dict[str, Any]:
    """The entry of a user whose project has the same name."""
    found = forwarded_urls(ports, tls=cloud.ca is not None)
    overrides = {
        f"{kind}_endpoint_override": url.replace("%(project_id)s", project_id) for kind, url in found.items()
    }
    return {
        "auth": {
            "auth_url": found["identity"], "username": user, "password": password, "project_name": user,
            "user_domain_name": "Default", "project_domain_name": "Default",
        },
        "region_name": "RegionOne", "identity_api_version": "3",
        "interface": "admin",  # Heat's client ignores overrides: see populate.py, forwarded_endpoints
        **({"cacert": str(cloud.ca)} if cloud.ca else {}), **overrides,
    }  # fmt: skip


def _mkisofs() -> str:
    found = next((name for name in _MKISOFS if proc.which(name)), None)
    if found is None:
        raise HostError(
            f"no program for the config drives of Nova's guests: {', '.join(_MKISOFS)}",
            hint="Debian: apt-get install genisoimage",
        )
    return found


def key_parts() -> list[bytes]:
    """Everything that the databases of a new cloud depend on, besides the Python environment."""
    ours = [Path(__file__), Path(instance.__file__)]
    files = [path for path in sorted(folder().rglob("*")) if path.is_file()]
    shipped = [path for path in files if not in_tool_cache(path.relative_to(folder()))]
    return [path.read_bytes() for path in (*ours, *shipped)]
