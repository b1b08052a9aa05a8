# SPDX-License-Identifier: Apache-2.0
"""Why pods are not ready: the container, the cause (image, exit, probe), its last lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from guest import Key, Pod, find_pod, is_ready, kubelet_get
from testinfra.host import Host

LOG_LINES = 10
_PROBES = ("startupProbe", "readinessProbe")


def report(host: Host, keys: Iterable[Key]) -> str:
    """Every pod that is not ready, with the reasons; empty if all are. Lines of logs begin with '  | '."""
    lines = []
    for namespace, name in keys:
        pod = find_pod(host, name, namespace)
        if pod is None or not is_ready(pod):
            lines.append(f"pod {namespace}/{name}: {'; '.join(reasons(pod))}")
            lines += [] if pod is None else _logs(host, pod)
    first, *more = lines or [""]
    return "\n".join([first, *(line if line.startswith("  | ") else f"  | {line}" for line in more)])


def reasons(pod: Pod | None) -> list[str]:
    """One sentence for each container that is not ready; never empty."""
    if pod is None:
        return ["the kubelet has not taken it up; its log says why: journalctl -u kubelet"]
    found = [_reason(status, _container(pod, status)) for status in _unready(pod)]
    status = pod.get("status", {})
    said = _join(f"it is {status.get('phase', 'unknown')}", status.get("reason"), status.get("message"))
    return found or [f"{said}, and has no container yet"]


def _unready(pod: Pod) -> Iterator[Mapping[str, Any]]:
    status = pod.get("status", {})
    for each in status.get("initContainerStatuses") or []:
        if not each.get("ready"):
            yield each
            return  # those after it have not begun
    yield from (each for each in status.get("containerStatuses") or [] if not each.get("ready"))


def _container(pod: Pod, status: Mapping[str, Any]) -> Mapping[str, Any]:
    spec = pod.get("spec", {})
    every = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    return next((each for each in every if each["name"] == status.get("name")), {})


def _reason(status: Mapping[str, Any], container: Mapping[str, Any]) -> str:
    name, state = status.get("name"), status.get("state") or {}
    waiting = state.get("waiting") or {}
    ended = state.get("terminated") or (status.get("lastState") or {}).get("terminated")
    if "running" in state:
        probe = _probe(status, container)
        return f"container {name} runs, but its {probe} does not succeed"
    if ended:
        what = f"container {name} ended with exit code {ended.get('exitCode')}"
        restarts = status.get("restartCount", 0)
        times = f" after {restarts} restarts" if restarts else ""
        return _join(f"{what}{times}", ended.get("reason"), ended.get("message"))
    image = f"container {name}, image {status.get('image') or container.get('image')}, cannot start"
    return _join(image, waiting.get("reason"), waiting.get("message"))


def _probe(status: Mapping[str, Any], container: Mapping[str, Any]) -> str:
    """The probe that a running container waits for, as its manifest has it."""
    wanted = _PROBES if not status.get("started") else _PROBES[1:]
    name = next((each for each in wanted if container.get(each)), None)
    return "start" if name is None else f"{name} {json.dumps(container[name], sort_keys=True)}"


def _logs(host: Host, pod: Pod) -> Iterator[str]:
    meta = pod["metadata"]
    for status in _unready(pod):
        parts = (meta.get("namespace", "default"), meta["name"], str(status.get("name")))
        path = "/".join(quote(part, safe="") for part in parts)
        answer = kubelet_get(host, f"/containerLogs/{path}?tailLines={LOG_LINES}")
        printed = answer["body"].splitlines() if answer["status"] == 200 else []
        if printed:
            yield f"  | last lines of {status.get('name')}:"
            yield from (f"  |   {line}" for line in printed)


def _join(what: str, *details: object) -> str:
    said = " - ".join(" ".join(str(part).split()) for part in details if part)
    return f"{what}: {said}" if said else what
