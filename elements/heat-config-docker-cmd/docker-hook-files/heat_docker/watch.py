# SPDX-License-Identifier: Apache-2.0
"""Check that containers run, and report their states."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from heat_docker.engine import Engine

_EVERY_S = 1.0


def until_running(
    engine: Engine, key: str, wanted: Mapping[str, tuple[int, ...]], *, deadline_s: float, min_ready_s: float
) -> list[str]:
    """A line for each container that does not run after deadline_s, or has ended with another status.

    key: of the deployment. wanted: name -> the statuses that it may end with. All must have run, and been
    healthy where the image says how that is seen, for min_ready_s.
    """
    deadline = time.monotonic() + deadline_s
    good_since: float | None = None
    while wanted:
        found = engine.containers(key)
        states = {name: _state(found.get(name), codes) for name, codes in wanted.items()}
        ended = {name: why for name, why in states.items() if why.startswith("ended")}
        if ended:
            return [f"container {name}: {why}\n{engine.log(name)}".rstrip() for name, why in ended.items()]
        now = time.monotonic()
        good_since = (good_since or now) if not any(states.values()) else None
        if good_since is not None and now - good_since >= min_ready_s:
            return []
        if now > deadline:
            return [f"container {name}: {why} after {deadline_s:g} s" for name, why in states.items() if why]
        time.sleep(_EVERY_S)
    return []


def report(containers: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The output `containers`: the state of each by name."""
    return {
        name: {
            "id": container["Id"], "image": container["Config"]["Image"], "image_digest": container["Image"],
            "state": container["State"]["Status"], "exit_code": container["State"]["ExitCode"],
            "restarts": container["RestartCount"], "started_at": container["State"]["StartedAt"],
        }
        for name, container in containers.items()
    }  # fmt: skip


def _state(container: Mapping[str, Any] | None, codes: tuple[int, ...]) -> str:
    """The problem of a container; empty if it has none."""
    if container is None:
        return "ended: it is gone"
    state = container["State"]
    if state["Status"] == "exited" and state["ExitCode"] in codes:
        return ""
    if state["Status"] in ("exited", "dead"):
        return f"ended with status {state['ExitCode']}"
    if container["RestartCount"] and state["Status"] == "restarting":
        return f"ended with status {state['ExitCode']}, {container['RestartCount']} restarts"
    if not state["Running"]:
        return f"is {state['Status']}"
    health = (state.get("Health") or {}).get("Status", "healthy")
    return "" if health == "healthy" else f"is {health}"
