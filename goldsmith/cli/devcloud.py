# SPDX-License-Identifier: Apache-2.0
"""Tasks of the test cloud on this machine."""

from __future__ import annotations

import shlex

from invoke.context import Context
from invoke.tasks import task

from goldsmith.cli import common
from goldsmith.cli.common import JSON

_CLOUD = "of the test cloud; default: devcloud"


@task(
    help={
        "name": _CLOUD, "json": JSON,
        "services": "which ones, separated by commas, and those that they need; default: all but swift",
        "store_size": "MiB that Glance's store holds, to see it full; default: what the disk has",
        "quota": "MiB that a project may keep in Glance; default: no quota",
        "durable": "Heat on RabbitMQ and MariaDB instead of in memory and SQLite: its engine may be stopped",
        "tls": "speak TLS, with certificates of an authority of its own, which clouds.yaml names",
    }
)  # fmt: skip
def cloud_up(
    c: Context,
    name: str = "devcloud",
    services: str = "",
    store_size: int = 0,
    quota: int = 0,
    tls: bool = False,
    durable: bool = False,
    json: bool = False,
) -> None:
    """Start a test cloud on this machine: Keystone, Glance, Placement, Neutron, Nova and Heat, all real."""
    from goldsmith.devcloud import lifecycle
    from goldsmith.devcloud.start import Options

    with common.reported(as_json=json):
        wanted = tuple(word.strip() for word in services.split(",") if word.strip())
        options = Options(
            services=wanted, store_mib=store_size or None, quota_mib=quota or None, tls=tls, durable=durable
        )
        found = lifecycle.up(name, options)
        if json:
            common.print_json("goldsmith.cloud-up", found.as_dict())
        else:
            print(f"{found.name} answers after {found.seconds} s; for clients, as --os-cloud {found.name}")
            print(f"or {found.name}-admin:  export OS_CLIENT_CONFIG_FILE={found.clouds_yaml}")


@task(help={"name": _CLOUD, "json": JSON})
def cloud_down(c: Context, name: str = "devcloud", json: bool = False) -> None:
    """End a test cloud with all of its guests, and remove everything that is its own."""
    from goldsmith.devcloud import lifecycle

    with common.reported(as_json=json):
        removed = lifecycle.down(name)
        if json:
            common.print_json("goldsmith.cloud-down", {"name": name, "removed": removed})
        else:
            print("\n".join(removed) or f"there is no cloud {name}")


@task(help={"name": _CLOUD, "json": JSON})
def cloud_status(c: Context, name: str = "devcloud", json: bool = False) -> None:
    """Say whether a test cloud runs, and which of its services answer."""
    from goldsmith.devcloud import lifecycle

    with common.reported(as_json=json):
        found = lifecycle.status(name)
        if json:
            common.print_json("goldsmith.cloud-status", found)
            return
        print(f"{name}: {'runs, ' + found['clouds_yaml'] if found['running'] else 'does not run'}")
        for service, answers in found["services"].items():
            print(f"  {service:<10} {'answers' if answers else 'does not answer'}")


@task(help={"name": _CLOUD})
def cloud_env(c: Context, name: str = "devcloud") -> None:
    """Print the variables that make OpenStack's clients use a test cloud: eval "$(scripts/inv cloud-env)"."""
    from goldsmith.devcloud import lifecycle

    with common.reported():
        for variable, value in lifecycle.environment(name).items():
            print(f"export {variable}={shlex.quote(value)}")


@task(
    positional=["action", "service"],
    help={
        "action": "start or stop",
        "service": "keystone, glance, placement, neutron, nova, heat; heat-api: its ports alone; "
        "heat-engine: of a durable cloud",
        "name": _CLOUD,
    },
)
def cloud_service(c: Context, action: str, service: str, name: str = "devcloud") -> None:
    """Start or stop one service of a running test cloud."""
    from goldsmith.devcloud import lifecycle

    with common.reported():
        lifecycle.service(action, service, cloud=name)
