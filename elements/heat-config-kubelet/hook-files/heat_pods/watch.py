# SPDX-License-Identifier: Apache-2.0
"""Wait for pods until each of them is ready or has failed, or until the deadline."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from heat_pods.manifests import HASH_ANNOTATION
from heat_pods.node import Node, Unreachable

_EVERY_S = 1.0
# The kubelet's waiting reasons that do not go away with time.
_HOPELESS = frozenset(("ErrImageNeverPull", "InvalidImageName"))
# Reasons that a restart of the runtime or the network can also cause: they count after they were seen
# for a while, or if the container was restarted already.
_DOUBTFUL = frozenset(
    ("CreateContainerConfigError", "CreateContainerError", "ImageInspectError", "RunContainerError",
     "ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "SignatureValidationFailed")
)  # fmt: skip
_DOUBT_S = 20.0
# Part of runc's message if the pod's sandbox has ended: the kubelet is about to make another one.
_NO_SANDBOX = "/proc/0/ns/"


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """Deadlines and intervals, in seconds."""

    deadline_s: float
    min_ready_s: float
    max_restarts: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """pods: those found, by the name of their manifest; failures: a line for each reason."""

    pods: Mapping[str, Mapping[str, Any]]
    failures: tuple[str, ...]
    seconds: float


def until_ready(node: Node, wanted: Mapping[str, str], patience: Patience) -> Outcome:
    """Watch the pods (name -> the hash of their manifest) until they are ready or one has failed."""
    start = time.monotonic()
    ready_since: float | None = None
    found: dict[str, Mapping[str, Any]] = {}
    judge = _Judge(patience.max_restarts)
    silence = ""
    while True:
        now = time.monotonic()
        try:
            found, silence = of(node.pods(), wanted), ""
        except Unreachable as e:
            silence = str(e)
        failures = judge.failures(found, now)
        is_ready = not silence and len(found) == len(wanted) and all(map(is_good, found.values()))
        ready_since = (ready_since or now) if is_ready and not failures else None
        if failures or (ready_since is not None and now - ready_since >= patience.min_ready_s):
            break
        if now - start > patience.deadline_s:
            failures = list(_late(found, wanted, silence, patience.deadline_s))
            break
        time.sleep(_EVERY_S)
    return Outcome(pods=found, failures=tuple(failures), seconds=round((ready_since or now) - start, 1))


def until_gone(node: Node, uids: set[str], *, deadline_s: float) -> set[str]:
    """Wait until none of these pods runs; the UIDs of those that still run at the deadline."""
    deadline = time.monotonic() + deadline_s
    left = set(uids)
    while left:
        with contextlib.suppress(Unreachable):
            left = uids & node.running()
        if not left or time.monotonic() > deadline:
            break
        time.sleep(_EVERY_S)
    return left


def of(pods: list[dict[str, Any]], wanted: Mapping[str, str]) -> dict[str, Mapping[str, Any]]:
    """The kubelet's pods whose manifests have these hashes, by name."""
    by_hash = {pod["metadata"].get("annotations", {}).get(HASH_ANNOTATION): pod for pod in pods}
    return {name: by_hash[digest] for name, digest in wanted.items() if digest in by_hash}


def container_statuses(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The statuses of init containers, then of the others."""
    status = pod.get("status", {})
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def is_good(pod: Mapping[str, Any]) -> bool:
    """True if the pod is ready, or has succeeded where its restartPolicy lets it end."""
    status = pod.get("status", {})
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or []}
    return status.get("phase") == "Succeeded" or (
        status.get("phase") == "Running" and conditions.get("Ready") == "True"
    )


class _Judge:
    """Recognizes pods that will not become ready; keeps data of containers between two polls."""

    def __init__(self, max_restarts: int) -> None:
        self._max_restarts = max_restarts
        self._earlier: dict[str, int] = {}  # restarts from before this watch
        self._doubted_since: dict[str, float] = {}

    def failures(self, found: Mapping[str, Mapping[str, Any]], now: float) -> list[str]:
        """A line for each reason why a pod will not become ready; empty while all still may."""
        lines = []
        for name, pod in found.items():
            reasons = [
                line
                for status in container_statuses(pod)
                for line in self._container(f"{name}/{status['name']}", status, now)
            ]
            if not is_good(pod):
                lines += [f"pod {name}: {line}" for line in reasons or _failed(pod)]
        return lines

    def _container(self, key: str, status: Mapping[str, Any], now: float) -> Iterator[str]:
        restarts = int(status.get("restartCount", 0))
        fresh = restarts - self._earlier.setdefault(key, restarts)
        waiting = status.get("state", {}).get("waiting") or {}
        reason = waiting.get("reason")
        if reason in _DOUBTFUL and _NO_SANDBOX not in str(waiting.get("message")):
            since = self._doubted_since.setdefault(key, now)
            is_certain = fresh > 0 or now - since >= _DOUBT_S
        else:
            self._doubted_since.pop(key, None)
            is_certain = reason in _HOPELESS
        name = status.get("name")
        if is_certain:
            what = f"container {name}, image {status.get('image')}, cannot start"
            yield _join(what, reason, waiting.get("message"))
        elif fresh > self._max_restarts and not status.get("ready"):
            last = status.get("lastState", {}).get("terminated") or status["state"].get("terminated") or {}
            what = f"container {name} crashed {restarts} times, last with exit code {last.get('exitCode')}"
            yield _join(what, last.get("reason"), last.get("message"))


def _failed(pod: Mapping[str, Any]) -> list[str]:
    status = pod.get("status", {})
    if status.get("phase") != "Failed":
        return []
    return list(_ended(pod)) or [_join("it failed", status.get("reason"), status.get("message"))]


def _ended(pod: Mapping[str, Any]) -> Iterator[str]:
    for status in container_statuses(pod):
        ended = status.get("state", {}).get("terminated") or {}
        if ended.get("exitCode"):
            what = f"container {status.get('name')} ended with exit code {ended['exitCode']}"
            yield _join(what, ended.get("reason"), ended.get("message"))


def _late(
    found: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, str], silence: str, deadline_s: float
) -> Iterator[str]:
    """The reason why each pod is not ready at the deadline."""
    if silence:
        yield f"after {deadline_s:.0f} s {silence}"
    elif len(found) == len(wanted) and all(map(is_good, found.values())):
        yield f"all pods were ready, but not for min_ready_seconds when {deadline_s:.0f} s were over"
    for name in wanted:
        pod = found.get(name)
        if pod is None:
            yield f"pod {name}: the kubelet has not taken it up after {deadline_s:.0f} s"
        elif not is_good(pod):
            for line in _unready(pod) or ["it has no container yet"]:
                yield f"pod {name}: {line}, after {deadline_s:.0f} s"


def _unready(pod: Mapping[str, Any]) -> list[str]:
    specs = {c["name"]: c for c in pod.get("spec", {}).get("containers", [])}
    lines = []
    for status in container_statuses(pod):
        if status.get("ready"):
            continue
        name, state = status.get("name"), status.get("state", {})
        waiting = state.get("waiting") or {}
        if "running" in state:
            probe = next((p for p in ("startupProbe", "readinessProbe") if specs.get(name, {}).get(p)), None)
            lines.append(f"container {name} runs, but its {probe or 'start'} does not succeed")
        elif waiting:
            lines.append(_join(f"container {name} waits", waiting.get("reason"), waiting.get("message")))
    return lines


def _join(what: str, *details: object) -> str:
    said = " - ".join(str(part).strip() for part in details if part)
    return f"{what}: {said}" if said else what
