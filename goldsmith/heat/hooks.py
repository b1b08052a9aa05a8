# SPDX-License-Identifier: Apache-2.0
"""Verify every kind of configuration of an image with all hooks, by heat-templates/software-config.yaml.

Users start from that template, so it is launched as users launch it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from goldsmith.heat import checks
from goldsmith.heat.launcher import Launcher
from goldsmith.heat.stacks import Stack
from goldsmith.spec.model import HeatHook

_TEMPLATE = "software-config.yaml"
_GREETINGS = ("hello", "good evening")  # the second one by an update


def are_all(hooks: list[str]) -> bool:
    """The image has every hook, which the template's parameter `full` needs."""
    return set(hooks) >= {hook.value for hook in HeatHook}


def verify(launcher: Launcher, parameters: Mapping[str, Any]) -> Stack:
    """Launch and update. Raises VerificationError if a deployment gives another answer than it must."""
    first = launcher.create(_TEMPLATE, _with(parameters, _GREETINGS[0]))
    checks.require_complete(first, "CREATE")
    _require_answers(first, _GREETINGS[0], boot=_GREETINGS[0])
    second = launcher.update(_TEMPLATE, _with(parameters, _GREETINGS[1]))
    checks.require_complete(second, "UPDATE")
    _require_answers(second, _GREETINGS[1], boot=_GREETINGS[0])
    before, after = (stack.outputs["containers"]["web"]["id"] for stack in (first, second))
    checks.require(before != after, "the container web was not replaced when it was changed")
    return second


def _with(parameters: Mapping[str, Any], greeting: str) -> dict[str, Any]:
    return {**parameters, "greeting": greeting, "full": True}


def _require_answers(stack: Stack, greeting: str, *, boot: str) -> None:
    """Every deployment answered with the greeting; what was written at boot did not change."""
    expected = {
        "script_stdout": f"to standard output: {greeting}\n",
        "script_stderr": f"to standard error: {greeting}\n",
        "boot": f"{boot} from the boot\n",
        "metadata": f"{boot} from the metadata\n",
        "playbook": f"{greeting} from Ansible",
        "manifest": f"{greeting} from Puppet",
        "container_stdout": f"{greeting} from a container\n",
    }
    for output, text in expected.items():
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
