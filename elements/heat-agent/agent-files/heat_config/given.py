# SPDX-License-Identifier: Apache-2.0
"""What hooks share: who a deployment is of, and its inputs where its config asks for them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

BY_HAND = "by-hand"  # the stack of what no Heat has asked for
ENDS = ("DELETE", "SUSPEND")  # actions for which it does not matter what the config is


class BadRequest(Exception):
    """What is asked for cannot be: every problem, one a line."""


def inputs(config: Mapping[str, Any]) -> dict[str, Any]:
    """name -> value of what heat-config hands over on standard input."""
    return {item["name"]: item.get("value") for item in config.get("inputs") or []}


def action(config: Mapping[str, Any]) -> str:
    """CREATE, UPDATE, DELETE, SUSPEND or RESUME."""
    return str(inputs(config).get("deploy_action") or "CREATE")


def key(config: Mapping[str, Any]) -> str:
    """STACK-NAME/STACK-ID/RESOURCE of the deployment, the same for its life; as deployment.Deployment.key."""
    stack, name = owner(config)
    return f"{stack or BY_HAND}/{name}"


def owner(config: Mapping[str, Any]) -> tuple[str, str]:
    """The stack, empty by hand, and the resource."""
    values = inputs(config)
    name = str(values.get("deploy_resource_name") or config.get("name") or config["id"])
    return str(values.get("deploy_stack_id") or ""), name


def number(values: Mapping[str, Any], name: str, default: float) -> float:
    """A hook's own input. Raises BadRequest."""
    value = values.get(name)
    if value in (None, ""):
        return default
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise BadRequest(f"the input {name} must be a number, got {value!r}")
    return found


def flag(values: Mapping[str, Any], name: str) -> bool:
    """A hook's own input, off unless it says otherwise."""
    return str(values.get(name) or "").lower() in ("true", "1", "yes")


def resolved(value: Any, values: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any part of a config
    """{get_input: NAME} replaced by that input, as Heat does it in a StructuredDeployment; no null kept."""
    if isinstance(value, dict):
        if set(value) == {"get_input"}:
            if not isinstance(value["get_input"], str) or value["get_input"] not in values:
                raise BadRequest(f"the config asks for the input {value['get_input']!r}, which is not given")
            return values[value["get_input"]]
        return {name: resolved(part, values) for name, part in value.items() if part is not None}
    if isinstance(value, list):
        return [resolved(part, values) for part in value]
    return value
