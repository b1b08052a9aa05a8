# SPDX-License-Identifier: Apache-2.0
"""Tasks for test clouds on this machine."""

from __future__ import annotations

import shlex

from invoke.context import Context
from invoke.tasks import task

from goldsmith.cli import common
from goldsmith.cli.common import JSON
from goldsmith.cli.words.descriptions import Group, described

_CLOUD = "name of the test cloud; default: devcloud"


@described(Group.cloud, "cloud-up --services glance,heat", 4)
@task(
    help={
        "name": _CLOUD, "json": JSON,
        "services": "services, separated by commas; adds those that they need; default: all but swift",
        "store_size": "capacity of Glance's store in MiB, to test a full store; default: that of the disk",
        "quota": "MiB that a project may store in Glance; default: no quota",
        "durable": "run Heat on RabbitMQ and MariaDB, with a separate engine that may be stopped",
        "tls": "use TLS, with certificates of the cloud's own authority, which clouds.yaml names",
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
    """Start a test cloud on this machine: real Keystone, Glance, Placement, Neutron, Nova and Heat."""
    from goldsmith.devcloud import lifecycle
    from goldsmith.devcloud.start import Options

    with common.reported(as_json=json):
        wanted = tuple(word.strip() for word in services.split(",") if word.strip())
        options = Options(
            services=wanted, store_mib=store_size or None, quota_mib=quota or None, tls=tls, durable=durable
        )
        found = lifecycle.up(name, options)
        if json:
            common.print_document(found.answer())
        else:
            print(
                f"{found.name} runs after {found.seconds} s: export OS_CLIENT_CONFIG_FILE={found.clouds_yaml}"
            )
            print(f"user: --os-cloud {found.name}, administrator: --os-cloud {found.name}-admin")


@described(Group.cloud, "cloud-down")
@task(help={"name": _CLOUD, "json": JSON})
def cloud_down(c: Context, name: str = "devcloud", json: bool = False) -> None:
    """End a test cloud with all of its guests, and remove its folder."""
    from goldsmith.devcloud import answers, lifecycle

    with common.reported(as_json=json):
        removed = lifecycle.down(name)
        if json:
            common.print_document(answers.CloudDown(name=name, removed=tuple(removed)))
        else:
            print("\n".join(removed) or f"there is no cloud {name}")


@described(Group.cloud, "cloud-status")
@task(help={"name": _CLOUD, "json": JSON})
def cloud_status(c: Context, name: str = "devcloud", json: bool = False) -> None:
    """Show whether a test cloud runs, and which of its services answer."""
    from goldsmith.devcloud import lifecycle

    with common.reported(as_json=json):
        found = lifecycle.status(name)
        if json:
            common.print_document(found)
            return
        print(f"{name}: runs, {found.clouds_yaml}" if found.running else f"{name}: does not run")
        for service, answers in found.services.items():
            print(f"  {service:<10} {'answers' if answers else 'does not answer'}")


@described(Group.cloud, "cloud-env")
@task(help={"name": _CLOUD})
def cloud_env(c: Context, name: str = "devcloud") -> None:
    """Print the variables that OpenStack's clients need for a test cloud: eval "$(scripts/inv cloud-env)"."""
    from goldsmith.devcloud import lifecycle

    with common.reported():
        for variable, value in lifecycle.environment(name).items():
            print(f"export {variable}={shlex.quote(value)}")


@described(Group.cloud, "cloud-service stop heat")
@task(
    positional=["action", "service"],
    help={
        "action": "start or stop",
        "service": "keystone, glance, placement, neutron, nova, heat, swift; heat-api: only Heat's ports; "
        "heat-engine: of a durable cloud",
        "name": _CLOUD,
    },
)
def cloud_service(c: Context, action: str, service: str, name: str = "devcloud") -> None:
    """Start or stop one service of a running test cloud."""
    from goldsmith.devcloud import lifecycle

    with common.reported():
        lifecycle.service(action, service, cloud=name)
