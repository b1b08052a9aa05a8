# SPDX-License-Identifier: Apache-2.0
"""The tasks of the one-machine cloud, for tasks.py, which has no more room. They hold no logic either."""

from __future__ import annotations

import shlex
from typing import Any

from invoke.context import Context
from invoke.tasks import task

from goldsmith import cli

_CLOUD = "of the test cloud; default: devcloud"
_JSON = "answer with JSON on standard output"


@task(
    help={
        "name": _CLOUD, "json": _JSON,
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
    from goldsmith import cloud
    from goldsmith.cloudstart import Options

    with cli.reported(as_json=json):
        wanted = tuple(word.strip() for word in services.split(",") if word.strip())
        options = Options(
            services=wanted, store_mib=store_size or None, quota_mib=quota or None, tls=tls, durable=durable
        )
        found = cloud.up(name, options)
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
        "service": "keystone, glance, placement, neutron, nova, heat; heat-api: its ports alone; "
        "heat-engine: of a durable cloud",
        "name": _CLOUD,
    },
)
def cloud_service(c: Context, action: str, service: str, name: str = "devcloud") -> None:
    """Start or stop one service of a running test cloud."""
    from goldsmith import cloud

    with cli.reported():
        cloud.service(action, service, cloud=name)


@task(
    positional=["name"],
    help={
        "name": "a spec, whose latest verified build is proven; default: debian-kubelet",
        "cloud": "a cloud of your clouds.yaml; default: a test cloud of its own, which is ended afterwards",
        "flavor": "size of the server, at least 2 GiB of memory; default: golden, which test clouds have",
        "network": "network of the server; default: golden in a test cloud, else what the cloud gives",
        "signal": "HEAT_SIGNAL, CFN_SIGNAL or TEMP_URL_SIGNAL",
        "poll": "POLL_SERVER_HEAT, POLL_SERVER_CFN or POLL_TEMP_URL",
        "config-drive": "without: the server asks DHCP and the cloud's metadata service, 169.254.169.254",
        "signed-by": "PEM file with a public key: only a build that its owner signed is proven",
        "out": "folder where builds are; default: $GOLDSMITH_OUT, else out/",
        "json": _JSON,
    },
)  # fmt: skip
def verify_heat(
    c: Context,
    name: Any = None,
    cloud: str = "",
    flavor: str = "golden",
    network: str = "",
    signal: str = "HEAT_SIGNAL",
    poll: str = "POLL_SERVER_HEAT",
    config_drive: bool = True,
    signed_by: str = "",
    out: str = "",
    json: bool = False,
) -> None:
    """Have Heat launch the latest build, run pods in it, update, fail, roll back, reboot and delete them."""
    from pathlib import Path

    from goldsmith import heatroad, workspace
    from goldsmith.heatproof import Wishes

    with cli.reported(as_json=json):
        report = heatroad.verify(
            workspace.out_root(out), name, cloud=cloud,
            wishes=Wishes(
                flavor=flavor, network=network, signal_transport=signal, poll_transport=poll,
                config_drive=config_drive,
            ),
            signed_by=Path(signed_by) if signed_by else None,
        )  # fmt: skip
        if json:
            cli.print_json("goldsmith.heat-verdict", report)
        else:
            print(f"passed: {len(report['steps'])} steps in {report['cloud']}")


@task(
    iterable=["var"],
    help={
        "stack": "name or ID of the stack",
        "procedure": "YAML file with the steps; see docs/heat.md",
        "cloud": "a cloud of your clouds.yaml; default: what OS_CLOUD says",
        "var": "NAME=VALUE, a variable of the file; may be repeated",
        "from": "go on with this step",
        "deadline": "seconds that one step may take; default: 3600",
        "json": _JSON,
    },
)
def stack_procedure(
    c: Context,
    stack: str,
    procedure: str,
    cloud: str = "",
    var: Any = None,
    from_: str = "",
    deadline: int = 3600,
    json: bool = False,
) -> None:
    """Take a stack through several updates with a check after each; stop at the first bad answer."""
    from pathlib import Path

    from goldsmith import procedure as road
    from goldsmith.heat import Cloud

    with cli.reported(as_json=json):
        steps = road.load(Path(procedure), cli.variables(var or ()))
        done = road.carry_out(Cloud(cloud), stack, steps, start=from_, deadline_s=deadline)
        if json:
            steps_done = [{"name": name, "seconds": seconds} for name, seconds in done.items()]
            cli.print_json("goldsmith.stack-procedure", {"stack": stack, "steps": steps_done})
        else:
            print("\n".join(f"{name}: {seconds} s" for name, seconds in done.items()))
