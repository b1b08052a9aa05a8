# SPDX-License-Identifier: Apache-2.0
"""Prove every kind of configuration of an image with all hooks: software-config.yaml of heat-templates.

That template is what users begin with, so it is launched as they would launch it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldsmith.heat import checks
from goldsmith.heat.client import Cloud, Stack
from goldsmith.spec.model import HeatHook

_GREETINGS = ("hello", "good evening")  # the second one by an update


def are_all(hooks: list[str]) -> bool:
    """The template's part for images with all hooks can be tried."""
    return set(hooks) >= {hook.value for hook in HeatHook}


def prove(
    cloud: Cloud, name: str, template: Path, parameters: Mapping[str, Any], *, timeout_s: float
) -> Stack:
    """Launch, update, delete. Raises VerificationError for an answer that is not the deployment's."""
    first = cloud.create(name, template, _with(parameters, _GREETINGS[0]), timeout_s=timeout_s)
    checks.require_complete(first, "CREATE")
    _require_answers(first, _GREETINGS[0], boot=_GREETINGS[0])
    second = cloud.update(first, template, _with(parameters, _GREETINGS[1]), timeout_s=timeout_s)
    checks.require_complete(second, "UPDATE")
    _require_answers(second, _GREETINGS[1], boot=_GREETINGS[0])
    before, after = (stack.outputs["containers"]["web"]["id"] for stack in (first, second))
    checks.require(before != after, "the container web is still the one from before its change")
    return second


def _with(parameters: Mapping[str, Any], greeting: str) -> dict[str, Any]:
    return {**parameters, "greeting": greeting, "full": True}


def _require_answers(stack: Stack, greeting: str, *, boot: str) -> None:
    """Every deployment answered with the greeting; what the boot wrote stays as it was."""
    wanted = {
        "script_stdout": f"to standard output: {greeting}\n",
        "script_stderr": f"to standard error: {greeting}\n",
        "boot": f"{boot} from the boot\n",
        "metadata": f"{boot} from the metadata\n",
        "playbook": f"{greeting} from Ansible",
        "manifest": f"{greeting} from Puppet",
        "container_stdout": f"{greeting} from a container\n",
    }
    for output, text in wanted.items():
        found = stack.outputs[output]
        checks.require(found == text, f"the output {output} is {found!r}, must be {text!r}")
    init = stack.outputs["init_stdout"]
    checks.require(
        f"{greeting} from a deployment of metadata" in init.splitlines(),
        f"the output init_stdout is {init!r}",
    )
    state = stack.outputs["containers"]["web"]["state"]
    checks.require(state == "running", f"the container web is {state}")
    checks.require("redis" in (stack.outputs["pods"] or {}), "the pod redis is not in the output pods")
