# SPDX-License-Identifier: Apache-2.0
"""The request of a deployment: pods, the action, and how long to wait for them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from heat_config import given
from heat_config.given import BadRequest

KEY_ANNOTATION = "goldsmith.heat/deployment"
_INPUTS = ("pods_deadline", "min_ready_seconds", "max_restarts", "allow_pull")
Pod = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One deployment. Times are in seconds."""

    key: str  # of the deployment, the same for its life
    label: str  # the same as part of a file name
    action: str
    pods: tuple[Pod, ...]
    deadline_s: float
    min_ready_s: float  # as minReadySeconds of Kubernetes: ready for that long, to count as ready
    max_restarts: int  # of a container that is not ready: one more, and it has failed
    allow_pull: bool  # images that are not embedded may come from a registry
    is_replaced: bool  # Heat has another deployment of this key, to which the pods belong now


def parse(config: Mapping[str, Any]) -> Request:
    """The request in the deployment on standard input. Raises BadRequest."""
    inputs, action = given.inputs(config), given.action(config)
    if config.get("options") and action not in given.ENDS:  # heat-agents' hook has images_timeout and others
        names = ", ".join(sorted(map(str, config["options"])))
        raise BadRequest(f"the hook kubelet has no options, got {names}; it has inputs: {', '.join(_INPUTS)}")
    pods = () if action in given.ENDS else tuple(_pods(config.get("config"), inputs))
    if action in given.ENDS:
        inputs = {}
    return Request(
        key=given.key(config), label=label(*given.owner(config)), action=action, pods=pods,
        deadline_s=given.number(inputs, "pods_deadline", 600),
        min_ready_s=given.number(inputs, "min_ready_seconds", 3),
        max_restarts=int(given.number(inputs, "max_restarts", 2)),
        allow_pull=given.flag(inputs, "allow_pull"), is_replaced=bool(config.get(given.REPLACED)),
    )  # fmt: skip


def label(stack: str, name: str) -> str:
    """The label for a stack NAME/ID and a resource: short, unique and readable."""
    text = f"{stack.rpartition('/')[2][:8]}-{name}".strip("-").lower()
    return "".join(c if c.isalnum() or c == "-" else "-" for c in text)


def _pods(config: object, inputs: Mapping[str, Any]) -> Iterator[Pod]:
    """A pod, a list of them or a List of Kubernetes, as YAML text (one document or more) or structured."""
    try:
        documents = list(yaml.safe_load_all(config)) if isinstance(config, str) else [config]
    except (yaml.YAMLError, ValueError, RecursionError) as e:  # ValueError: a date that there is not
        raise BadRequest(f"the config is no YAML: {str(e).replace(chr(10), ' ')}") from e
    for document in documents:
        for item in _items(document):
            try:
                pod = given.resolved(copy.deepcopy(item), inputs)
                json.dumps(pod)
            except (RecursionError, TypeError, ValueError) as e:
                raise BadRequest(f"a pod of the config cannot be written as JSON: {e}") from e
            if not isinstance(pod, dict):
                raise BadRequest(f"the config must be pods, got {pod!r}")
            yield pod


def _items(document: object) -> list[Any]:
    if document is None or document == {}:
        return []
    if isinstance(document, dict) and document.get("kind") in ("List", "PodList"):
        items = document.get("items") or []
        return items if isinstance(items, list) else [items]
    return document if isinstance(document, list) else [document]
