# SPDX-License-Identifier: Apache-2.0
"""A software deployment as Heat hands it to a server: an entry of the list in its metadata.

The form is that of heat.engine.service_software_config, metadata_software_deployments: a derived config
with the inputs that Heat added, all of which begin with deploy_.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from heat_config import given, nested

COMPONENT = "component"  # OS::Heat::SoftwareComponent: one config with a tool for each action
_LEVELS = 4  # the list, a deployment, its inputs, one of them: its value may be one that cannot be read

_DEEP = "a part of it is nested too deeply"


class MetadataError(Exception):
    """The metadata is not valid, so it is not what Heat sent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployment:
    """A task (group, config, inputs) and its owner (key)."""

    id: str  # of the derived config: another one after each change of the deployment; empty if unreadable
    key: str  # STACK-NAME/STACK-ID/RESOURCE, which stays for the deployment's life; empty if unreadable
    name: str
    group: str
    action: str  # CREATE, UPDATE, DELETE, SUSPEND or RESUME
    inputs: Mapping[str, Any]
    for_hook: Mapping[str, Any] = field(repr=False)  # what a hook gets on standard input
    idle: bool = False  # a component that has nothing to do for this action
    problem: str = ""  # why no hook can run it


def read(path: Path) -> Sequence[Deployment] | None:
    """The deployments of a metadata file, None where Heat has said nothing about any.

    One of them that cannot be read has a problem, and what could be read of it. Raises MetadataError for a
    file that is not there, not JSON or not of Heat's form.
    """
    try:
        text = path.read_text()
        entries = nested.loads(text, _LEVELS) if text.strip() else None
    except (OSError, ValueError) as e:
        raise MetadataError(f"cannot read {path}: {e}") from e
    if entries is None:
        return None
    if not isinstance(entries, list):
        raise MetadataError(f"{path} holds no list of deployments")
    return [*_marked([_parse(entry) for entry in entries])]


def _marked(found: Sequence[Deployment]) -> Iterator[Deployment]:
    """Mark a deployment that is deleted because another one of its key replaces it.

    One whose key cannot be read may be that other one.
    """
    lasting = {each.key for each in found if each.action != "DELETE" or not each.key}
    for each in found:
        is_replaced = each.action == "DELETE" and bool(lasting & {each.key, ""})
        yield replace(each, for_hook={**each.for_hook, given.REPLACED: True}) if is_replaced else each


def _parse(entry: object) -> Deployment:
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        problem = "an entry of Heat's metadata is no deployment: it has no id"
        return Deployment(
            id="", key="", name="?", group="", action="", inputs={}, for_hook={}, problem=problem
        )
    given_inputs = entry.get("inputs") or []
    items = given_inputs if isinstance(given_inputs, list) else []
    listed = [_text_where_declared(item) for item in items if _is_named(item)]
    inputs = {item["name"]: item.get("value") for item in listed}
    action = str(inputs.get("deploy_action") or "CREATE")
    chosen = {**entry, "inputs": listed}
    tool: Mapping[str, Any] | None = {}
    if entry.get("group") == COMPONENT:
        tool = _tool(entry.get("config"), action)
        chosen = {**chosen, "group": (tool or {}).get("tool"), "config": (tool or {}).get("config", "")}
    problem = _problem(given_inputs, listed, chosen)
    if entry.get("group") == COMPONENT:
        problem = problem or _problem_of_tools(entry.get("config"))
    name = str(entry.get("name") or inputs.get("deploy_resource_name") or entry["id"])
    return Deployment(
        id=entry["id"], key=_key(inputs, name, is_whole=not problem), name=name,
        group=str(chosen.get("group") or ""), action=action, inputs=inputs,
        for_hook={} if problem else chosen, idle=tool is None and not problem, problem=problem,
    )  # fmt: skip


def _problem(given_inputs: object, listed: Sequence[object], chosen: Mapping[str, Any]) -> str:
    if not isinstance(given_inputs, list) or len(listed) < len(given_inputs):
        return "its inputs are no list of mappings with a name each"
    return "" if _can_be_written(chosen) else _DEEP


def _problem_of_tools(config: object) -> str:
    """Why it is not known whether a component has something to do."""
    tools = config.get("configs") if isinstance(config, dict) else None
    items = tools if isinstance(tools, list) else [tools]
    if nested.TOO_DEEP in (config, *items):
        return _DEEP
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        return "the config of a component is no mapping with a list of mappings 'configs'"
    return ""


def _key(inputs: Mapping[str, Any], name: str, *, is_whole: bool) -> str:
    """Empty if inputs that could not be read may have named it otherwise."""
    stack, resource = inputs.get("deploy_stack_id"), inputs.get("deploy_resource_name")
    if is_whole or (isinstance(stack, str) and isinstance(resource, str)):
        return f"{stack}/{resource or name}"
    return ""


def _can_be_written(entry: Mapping[str, Any]) -> bool:
    try:
        json.dumps(entry)
    except (RecursionError, TypeError):  # TypeError: nested.TOO_DEEP
        return False
    return True


def _is_named(item: object) -> bool:
    return isinstance(item, dict) and isinstance(item.get("name"), str)


def _text_where_declared(item: Mapping[str, Any]) -> dict[str, Any]:
    """An input declared as String as text, because Heat turns text that looks like a number into one."""
    value = item.get("value")
    if item.get("type") == "String" and value is not None and not isinstance(value, str):
        value = value if isinstance(value, (dict, list)) else str(value)
    return {**item, "value": value}


def _tool(config: object, action: str) -> Mapping[str, Any] | None:
    tools = config.get("configs") if isinstance(config, dict) else None
    known = [tool for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    return next((tool for tool in known if action in _listed(tool.get("actions"))), None)


def _listed(actions: object) -> Sequence[object]:
    return actions if isinstance(actions, (list, str)) else ()
