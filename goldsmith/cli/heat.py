# SPDX-License-Identifier: Apache-2.0
"""Tasks that launch images by Heat and update stacks."""

from __future__ import annotations

from typing import Any

from invoke.context import Context
from invoke.tasks import task

from goldsmith.cli import common
from goldsmith.cli.common import JSON


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
        "json": JSON,
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

    from goldsmith.core import paths
    from goldsmith.heat import verify
    from goldsmith.heat.acceptance import Wishes

    with common.reported(as_json=json):
        report = verify.verify(
            paths.out_root(out), name, cloud=cloud,
            wishes=Wishes(
                flavor=flavor, network=network, signal_transport=signal, poll_transport=poll,
                config_drive=config_drive,
            ),
            signed_by=Path(signed_by) if signed_by else None,
        )  # fmt: skip
        if json:
            common.print_json("goldsmith.heat-verdict", report)
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
        "json": JSON,
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

    from goldsmith.heat.client import Cloud
    from goldsmith.heat.procedure import carry_out, load

    with common.reported(as_json=json):
        steps = load(Path(procedure), common.variables(var or ()))
        done = carry_out(Cloud(cloud), stack, steps, start=from_, deadline_s=deadline)
        if json:
            steps_done = [{"name": name, "seconds": seconds} for name, seconds in done.items()]
            common.print_json("goldsmith.stack-procedure", {"stack": stack, "steps": steps_done})
        else:
            print("\n".join(f"{name}: {seconds} s" for name, seconds in done.items()))
