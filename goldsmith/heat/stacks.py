# SPDX-License-Identifier: Apache-2.0
"""Stacks of one cloud user in Heat: create, update, wait with a deadline, delete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.core import openstack, progress, wait
from goldsmith.core.openstack import translated
from goldsmith.errors import CloudError

_POLL_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    """A stack as Heat shows it."""

    id: str
    name: str
    status: str  # ACTION_COMPLETE, ACTION_FAILED or ACTION_IN_PROGRESS
    reason: str
    outputs: Mapping[str, Any]


class Stacks:
    """Heat's client; every method raises CloudError."""

    def __init__(self, sdk: Any) -> None:  # noqa: ANN401 - the SDK has no types
        self._heat = sdk.orchestration

    def create(self, name: str, template: Path, parameters: Mapping[str, Any], *, timeout_s: float) -> Stack:
        """Create a stack and wait until it is complete or failed."""
        attrs = self._read(template)
        with translated(f"Heat does not create {name}"):
            made = self._heat.create_stack(
                name=name, parameters=dict(parameters), timeout_mins=_minutes(timeout_s), **attrs
            )
        return self.settled(str(made.id), "CREATE", timeout_s=timeout_s)

    def update(
        self, stack: Stack, template: Path, parameters: Mapping[str, Any], *, timeout_s: float
    ) -> Stack:
        """Update a stack and wait until it is complete or failed."""
        self.begin_update(stack, template, parameters, timeout_s=timeout_s)
        return self.settled(stack.id, "UPDATE", timeout_s=timeout_s)

    def begin_update(
        self, stack: Stack, template: Path, parameters: Mapping[str, Any], *, timeout_s: float
    ) -> None:
        """Request an update without waiting for it; timeout_s: Heat's own limit for it."""
        attrs = self._read(template)
        with translated(f"Heat does not update {stack.name}"):
            self._heat.update_stack(
                stack.id, parameters=dict(parameters), timeout_mins=_minutes(timeout_s), **attrs
            )

    def update_parameters(self, stack: Stack, parameters: Mapping[str, Any], *, timeout_s: float) -> Stack:
        """Update these parameters, keep the template and all others; wait as update() does."""
        body = {"parameters": dict(parameters), "timeout_mins": _minutes(timeout_s)}
        with translated(f"Heat does not update {stack.name}"):
            answer = self._heat.patch(f"/stacks/{stack.name}/{stack.id}", json=body)
            openstack.raise_for(answer)
        return self.settled(stack.id, "UPDATE", timeout_s=timeout_s)

    def act(self, stack: Stack, action: str, *, timeout_s: float) -> Stack:
        """SUSPEND, RESUME or CHECK a stack and wait until that is complete or failed."""
        with translated(f"Heat does not {action.lower()} {stack.name}"):
            path = f"/stacks/{stack.name}/{stack.id}/actions"
            openstack.raise_for(self._heat.post(path, json={action.lower(): None}))
        return self.settled(stack.id, action, timeout_s=timeout_s)

    def get(self, stack: str, *, with_outputs: bool = True) -> Stack:
        """A stack by name or ID; for its outputs Heat queries every server of it."""
        with translated(f"Heat does not show the stack {stack}"):
            found = self._heat.get_stack(stack, resolve_outputs=with_outputs)
        outputs = {item["output_key"]: item.get("output_value") for item in found.outputs or []}
        return Stack(
            id=str(found.id), name=str(found.name), status=str(found.status),
            reason=str(found.status_reason or ""), outputs=outputs,
        )  # fmt: skip

    def settled(self, stack: str, action: str, *, timeout_s: float) -> Stack:
        """Wait until an action on a stack is complete or failed; the stack then."""
        last: list[Stack] = []

        def ended() -> Stack | None:
            last[:] = [self.get(stack, with_outputs=False)]
            progress.live(f"{last[0].name}: {last[0].status}")
            return last[0] if last[0].status in _ends_of(action) else None

        try:
            wait.wait_until(ended, timeout_s=timeout_s, interval_s=_POLL_S)
            return self.get(stack)
        except wait.Deadline:
            raise CloudError(
                f"the stack {last[0].name} is still {last[0].status} after {timeout_s:.0f} s",
                hint="see: openstack stack event list",
            ) from None

    def deployment(self, deployment: str) -> dict[str, Any]:
        """Status and output values of a software deployment."""
        with translated(f"Heat does not show the deployment {deployment}"):
            found = self._heat.get_software_deployment(deployment)
        return {"status": str(found.status), **(found.output_values or {})}

    def metadata(self, stack: Stack, resource: str) -> dict[str, Any]:
        """The metadata of a resource of a stack, such as a server."""
        with translated(f"Heat does not show the metadata of {resource}"):
            path = f"/stacks/{stack.name}/{stack.id}/resources/{resource}/metadata"
            answer = self._heat.get(path)
            openstack.raise_for(answer)
        return dict(answer.json()["metadata"])

    def validate(self, template: Path) -> None:
        """Let Heat itself check a template."""
        attrs = self._read(template)
        with translated(f"Heat rejects the template {template.name}"):
            answer = self._heat.post("/validate", json=attrs)
            openstack.raise_for(answer)

    def delete(self, stack: str, *, timeout_s: float) -> None:
        """Delete a stack and wait until Heat no longer lists it; one that does not exist is no error."""
        with translated(f"Heat does not delete the stack {stack}"):
            self._heat.delete_stack(stack, ignore_missing=True)

        def gone() -> bool:
            found = self._heat.find_stack(stack, ignore_missing=True)
            if found is not None and found.status == "DELETE_FAILED":
                raise CloudError(
                    f"the stack {found.name} cannot be deleted: {found.status_reason}",
                    hint="see: openstack stack failures list",
                )
            # a stack is complete, or not found by name, a moment before it leaves Heat's list
            return (found is None or found.status == "DELETE_COMPLETE") and not self._lists(stack)

        with translated(f"Heat does not delete the stack {stack}"):
            try:
                wait.wait_until(gone, timeout_s=timeout_s, interval_s=_POLL_S)
            except wait.Deadline:
                raise CloudError(
                    f"the stack {stack} is not gone after {timeout_s:.0f} s",
                    hint="see: openstack stack event list",
                ) from None

    def named(self, word: str) -> list[str]:
        """Names of the user's stacks that contain word."""
        with translated("Heat does not list the stacks"):
            return [str(each.name) for each in self._heat.stacks() if word in str(each.name)]

    def _lists(self, stack: str) -> bool:
        return any(stack in (each.id, each.name) for each in self._heat.stacks())

    def _read(self, template: Path) -> dict[str, Any]:
        """A template and the files that it names, as Heat's API takes them."""
        with translated(f"cannot read {template}"):
            attrs = self._heat.read_env_and_templates(template_file=str(template))
        return {key: attrs[key] for key in ("template", "files", "environment") if attrs.get(key)}


def _ends_of(action: str) -> tuple[str, ...]:
    # a stack with rollback: Heat's own rollback follows the failure, and its end counts
    return tuple(f"{each}_{state}" for each in (action, "ROLLBACK") for state in ("COMPLETE", "FAILED"))


def _minutes(seconds: float) -> int:
    return max(1, -int(-seconds // 60))
