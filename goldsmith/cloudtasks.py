# SPDX-License-Identifier: Apache-2.0
"""The tasks of the one-machine cloud, for tasks.py, which has no more room. They hold no logic either."""

from __future__ import annotations

import shlex

from invoke.context import Context
from invoke.tasks import task

from goldsmith import cli

_CLOUD = "of the test cloud; default: devcloud"
_JSON = "answer with JSON on standard output"


@task(help={"name": _CLOUD, "json": _JSON})
def cloud_up(c: Context, name: str = "devcloud", json: bool = False) -> None:
    """Start a test cloud on this machine: Keystone, Glance, Placement, Neutron, Nova and Heat, all real."""
    from goldsmith import cloud

    with cli.reported(as_json=json):
        found = cloud.up(name)
        if json:
            cli.print_json("goldsmith.cloud-up", found.as_dict())
        else:
            print(f"{found.name} answers after {found.seconds} s; for clients, as --os-cloud {found.name}")
            print(f"or {found.name}-admin:  export OS_CLIENT_CONFIG_FILE={found.clouds_yaml}")


@task(help={"name": _CLOUD, "json": _JSON})
def cloud_down(c: Context, name: str = "devcloud", json: bool = False) -> None:
    """End a test cloud with all of its guests, and remove everything that is its own."""
    from goldsmith import cloud

    with cli.reported(as_json=json):
        removed = cloud.down(name)
        if json:
            cli.print_json("goldsmith.cloud-down", {"name": name, "removed": removed})
        else:
            print("\n".join(removed) or f"there is no cloud {name}")


@task(help={"name": _CLOUD, "json": _JSON})
def cloud_status(c: Context, name: str = "devcloud", json: bool = False) -> None:
    """Say whether a test cloud runs, and which of its services answer."""
    from goldsmith import cloud

    with cli.reported(as_json=json):
        found = cloud.status(name)
        if json:
            cli.print_json("goldsmith.cloud-status", found)
            return
        print(f"{name}: {'runs, ' + found['clouds_yaml'] if found['running'] else 'does not run'}")
        for service, answers in found["services"].items():
            print(f"  {service:<10} {'answers' if answers else 'does not answer'}")


@task(help={"name": _CLOUD})
def cloud_env(c: Context, name: str = "devcloud") -> None:
    """Print the variables that make OpenStack's clients use a test cloud: eval "$(scripts/inv cloud-env)"."""
    from goldsmith import cloud

    with cli.reported():
        for variable, value in cloud.environment(name).items():
            print(f"export {variable}={shlex.quote(value)}")


@task(
    positional=["action", "service"],
    help={
        "action": "start or stop",
        "service": "keystone, glance, placement, neutron, nova or heat",
        "name": _CLOUD,
    },
)
def cloud_service(c: Context, action: str, service: str, name: str = "devcloud") -> None:
    """Start or stop one service of a running test cloud."""
    from goldsmith import cloud

    with cli.reported():
        cloud.service(action, service, cloud=name)
