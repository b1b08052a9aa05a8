# SPDX-License-Identifier: Apache-2.0
"""What a deployment asks of the hook: pods, what to do with them, and how long to wait for them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

KEY_ANNOTATION = "goldsmith.heat/deployment"
ENDS = ("DELETE", "SUSPEND")  # actions for which it does not matter what the pods are
BY_HAND = "by-hand"  # the stack of what no Heat has asked for
Pod = dict[str, Any]


class BadRequest(Exception):
    """What is asked for cannot be: every problem, one a line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One deployment. Times are in seconds."""

    key: str  # of the deployment, the same for its life
    label: str  # the same as part of a file name
    action: str
    pods: tuple[Pod, ...]
    deadline_s: float = 600
    min_ready_s: float = 3  # as minReadySeconds of Kubernetes: ready for that long, to count as ready
    max_restarts: int = 2  # of a container that is not ready: one more, and it has failed
    allow_pull: bool = False  # images that are not embedded may come from a registry


def parse(config: Mapping[str, Any]) -> Request:
    """The request of what heat-config hands over on standard input. Raises BadRequest."""
    inputs = {item["name"]: item.get("value") for item in config.get("inputs") or []}
    name = str(inputs.get("deploy_resource_name") or config.get("name") or config["id"])
    stack = str(inputs.get("deploy_stack_id") or "")
    action = str(inputs.get("deploy_action") or "CREATE")
    pods = () if action in ENDS else tuple(_pods(config.get("config"), inputs))
    return Request(
        key=f"{stack or BY_HAND}/{name}", label=label(stack, name), action=action, pods=pods,
        **_settings(inputs),
    )  # fmt: skip


def label(stack: str, name: str) -> str:
    """Of a stack NAME/ID and a resource: short, unlike that of any other, and readable."""
    text = f"{stack.rpartition('/')[2][:8]}-{name}".strip("-").lower()
    return "".join(c if c.isalnum() or c == "-" else "-" for c in text)


def _settings(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The hook's own inputs: pods_deadline, min_ready_seconds, max_restarts, allow_pull."""
    found: dict[str, Any] = {}
    for given, field, kind in (
        ("pods_deadline", "deadline_s", float),
        ("min_ready_seconds", "min_ready_s", float),
        ("max_restarts", "max_restarts", int),
    ):
        value = inputs.get(given)
        if value in (None, ""):
            continue
        try:
            found[field] = kind(value)
        except (TypeError, ValueError):
            raise BadRequest(f"the input {given} must be a number, got {value!r}") from None
    if inputs.get("allow_pull") not in (None, ""):
        found["allow_pull"] = str(inputs["allow_pull"]).lower() in ("true", "1", "yes")
    return found


def _pods(config: object, inputs: Mapping[str, Any]) -> Iterator[Pod]:
    """A pod, a list of them or a List of Kubernetes, as YAML text (one document or more) or structured."""
    try:
        documents = list(yaml.safe_load_all(config)) if isinstance(config, str) else [config]
    except yaml.YAMLError as e:
        raise BadRequest(f"the config is no YAML: {str(e).replace(chr(10), ' ')}") from e
    for document in documents:
        for item in _items(document):
            pod = _with_inputs(copy.deepcopy(item), inputs)
            if not isinstance(pod, dict):
                raise BadRequest(f"the config must be pods, got {pod!r}")
            yield pod


def _items(document: object) -> list[Any]:
    if document is None or document == {}:
        return []
    if isinstance(document, dict) and document.get("kind") in ("List", "PodList"):
        return list(document.get("items") or [])
    return document if isinstance(document, list) else [document]


def _with_inputs(value: Any, inputs: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any part of a pod
    """{get_input: NAME} replaced by that input, as Heat does it in a StructuredDeployment; no null kept."""
    if isinstance(value, dict):
        if set(value) == {"get_input"}:
            if value["get_input"] not in inputs:
                raise BadRequest(f"the config asks for the input {value['get_input']!r}, which is not given")
            return inputs[value["get_input"]]
        return {name: _with_inputs(part, inputs) for name, part in value.items() if part is not None}
    if isinstance(value, list):
        return [_with_inputs(part, inputs) for part in value]
    return value
