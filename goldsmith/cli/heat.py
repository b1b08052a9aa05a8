# SPDX-License-Identifier: Apache-2.0
"""Tasks for Heat: the acceptance test of an image, and procedures for stacks."""

from __future__ import annotations

from typing import Any

from invoke.context import Context
from invoke.tasks import task

from goldsmith.cli import common
from goldsmith.cli.common import JSON
from goldsmith.cli.words.descriptions import Group, described


@described(Group.release, "verify-heat my-image --cloud production", 4, 6, 8, 9)
@task(
    positional=["name"],
    help={
        "name": "a spec; its latest verified build is tested; default: debian-kubelet",
        "cloud": "a cloud of your clouds.yaml; default: a private test cloud, which ends afterwards",
        "flavor": "size of the server, at least 2 GiB of memory; default: golden, which test clouds have",
        "network": "network of the server; default: golden in a test cloud, else the cloud's only one",
        "signal": "HEAT_SIGNAL, CFN_SIGNAL or TEMP_URL_SIGNAL",
        "poll": "POLL_SERVER_HEAT, POLL_SERVER_CFN or POLL_TEMP_URL",
        "config-drive": "--no-config-drive: the server uses DHCP and the metadata service at 169.254.169.254",
        "signed-by": "PEM file with a public key; a build that its owner did not sign is refused",
        "out": common.OUT,
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
    """Acceptance test by Heat: launch the latest build, update, fail, roll back, reboot, replace, delete."""
    from pathlib import Path

    from goldsmith.core import paths
    from goldsmith.heat import verify
    from goldsmith.heat.acceptance import Options

    with common.reported(as_json=json):
        verdict = verify.verify(
            paths.out_root(out), name, cloud=cloud,
            options=Options(
                flavor=flavor, network=network, signal_transport=signal, poll_transport=poll,
                config_drive=config_drive,
            ),
            signed_by=Path(signed_by) if signed_by else None,
        )  # fmt: skip
        if json:
            common.print_document(verdict)
        else:
            print(f"passed: {len(verdict.steps)} steps in {verdict.cloud}")


@described(Group.release, "stack-procedure my-stack steps.yaml --cloud production", 8)
@task(
    iterable=["var"],
    help={
        "stack": "name or ID of the stack",
        "procedure": "YAML file with the steps; see docs/heat.md",
        "cloud": "a cloud of your clouds.yaml; default: the one of OS_CLOUD",
        "var": "NAME=VALUE, a variable of the file; may be repeated",
        "from": "resume at this step",
        "deadline": "seconds for one step; default: 3600",
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
    """Update a stack step by step from a YAML procedure; check each step, stop at the first failure."""
    from pathlib import Path

    from goldsmith.heat import client
    from goldsmith.heat.procedure import apply, load

    with common.reported(as_json=json):
        steps = load(Path(procedure), common.variables(var or ()))
        done = apply(client.connect(cloud), stack, steps, start=from_, deadline_s=deadline)
        if json:
            common.print_document(done)
        else:
            print("\n".join(f"{step.name}: {step.seconds} s" for step in done.steps))
