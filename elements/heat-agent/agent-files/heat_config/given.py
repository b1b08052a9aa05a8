# SPDX-License-Identifier: Apache-2.0
"""Shared by hooks: the owner of a deployment, and its inputs in place of get_input."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

BY_HAND = "by-hand"  # the stack of what no Heat has asked for
ENDS = ("DELETE", "SUSPEND")  # actions for which it does not matter what the config is
REPLACED = "goldsmith_replaced"  # beside id and config: Heat has another deployment of this one's key


class BadRequest(Exception):
    """The deployment is not valid; the message lists every problem, one a line."""


def answered(hook: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> int:
    """Have a hook answer the deployment on standard input; the answer is printed as JSON. The status is 0.

    What is no deployment is answered too: a mapping with an id, lists of inputs and outputs with a name each,
    a mapping of options.
    """
    try:
        answer = hook(_deployment(json.load(sys.stdin)))
    except BadRequest as e:
        answer = _refusal(str(e))
    except json.JSONDecodeError as e:
        answer = _refusal(f"it is no JSON: {e}")
    except RecursionError:
        answer = _refusal("it is nested too deeply")
    except UnicodeEncodeError as e:  # half of a pair, \ud800
        answer = _refusal(f"it has text that no file can hold: {e.reason}")
    json.dump(answer, sys.stdout)
    return 0


def _deployment(config: object) -> dict[str, Any]:
    if not isinstance(config, dict) or not isinstance(config.get("id"), str):
        raise BadRequest("it must be a mapping with an id")
    for name in ("inputs", "outputs"):
        listed = config.get(name) or []
        if not isinstance(listed, list) or not all(
            isinstance(each, dict) and isinstance(each.get("name"), str) for each in listed
        ):
            raise BadRequest(f"its {name} must be a list of mappings with a name each")
    if not isinstance(config.get("options") or {}, dict):
        raise BadRequest("its options must be a mapping")
    return config


def _refusal(why: str) -> dict[str, Any]:
    said = f"what is on standard input is no deployment: {why}"
    return {"deploy_stdout": "", "deploy_stderr": said, "deploy_status_code": 1}


def inputs(config: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs (name -> value) of the deployment on standard input."""
    return {item["name"]: item.get("value") for item in config.get("inputs") or []}


def action(config: Mapping[str, Any]) -> str:
    """CREATE, UPDATE, DELETE, SUSPEND or RESUME."""
    return str(inputs(config).get("deploy_action") or "CREATE")


def key(config: Mapping[str, Any]) -> str:
    """STACK-NAME/STACK-ID/RESOURCE of the deployment, the same for its life; as deployment.Deployment.key."""
    stack, name = owner(config)
    return f"{stack or BY_HAND}/{name}"


def owner(config: Mapping[str, Any]) -> tuple[str, str]:
    """The stack (empty when called by hand) and the resource."""
    values = inputs(config)
    name = str(values.get("deploy_resource_name") or config.get("name") or config["id"])
    return str(values.get("deploy_stack_id") or ""), name


def number(values: Mapping[str, Any], name: str, default: float) -> float:
    """An input for the hook itself. Raises BadRequest."""
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
    """A switch for the hook itself, off by default."""
    return str(values.get(name) or "").lower() in ("true", "1", "yes")


def resolved(value: Any, values: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any part of a config
    """Replace {get_input: NAME} by that input, like Heat in a StructuredDeployment; drop nulls."""
    if isinstance(value, dict):
        if set(value) == {"get_input"}:
            if not isinstance(value["get_input"], str) or value["get_input"] not in values:
                raise BadRequest(f"the config asks for the input {value['get_input']!r}, which is not given")
            return values[value["get_input"]]
        return {name: resolved(part, values) for name, part in value.items() if part is not None}
    if isinstance(value, list):
        return [resolved(part, values) for part in value]
    return value
