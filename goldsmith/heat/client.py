# SPDX-License-Identifier: Apache-2.0
"""A cloud as one user of it sees it: private images, stacks, servers. By openstacksdk, with deadlines."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.core import openstack, progress, wait
from goldsmith.core.openstack import translated
from goldsmith.errors import CloudError

_POLL_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    """What Heat says of a stack."""

    id: str
    name: str
    status: str  # ACTION_COMPLETE, ACTION_FAILED or ACTION_IN_PROGRESS
    reason: str
    outputs: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """What Nova says of a server; image is the ID of the one that it was booted from."""

    id: str
    image: str
    addresses: tuple[str, ...]


class Cloud:
    """A connection; every method raises CloudError for what the cloud refuses or does not do in time."""

    def __init__(self, name: str, *, clouds_yaml: Path | None = None) -> None:
        self.name = name
        self._sdk = openstack.connect(name, clouds_yaml=clouds_yaml, error=CloudError)

    def upload(self, path: Path, name: str) -> str:
        """A private image of this qcow2; its ID."""
        with progress.step(f"upload {path.name}"), translated(f"cannot upload {path}"):
            image = self._sdk.create_image(
                name, filename=str(path), disk_format="qcow2", container_format="bare",
                visibility="private", wait=True, timeout=600, validate_checksum=False,
            )  # fmt: skip
        return str(image.id)

    def delete_image(self, image: str) -> None:
        """Also one that is gone already."""
        with translated(f"cannot delete the image {image}"):
            self._sdk.image.delete_image(image, ignore_missing=True)

    def create(self, name: str, template: Path, parameters: Mapping[str, Any], *, timeout_s: float) -> Stack:
        """Create a stack and wait until it is complete or failed."""
        attrs = self._read(template)
        with translated(f"Heat does not create {name}"):
            made = self._sdk.orchestration.create_stack(
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
        """Ask for an update; timeout_s is what Heat gives it."""
        attrs = self._read(template)
        with translated(f"Heat does not update {stack.name}"):
            self._sdk.orchestration.update_stack(
                stack.id, parameters=dict(parameters), timeout_mins=_minutes(timeout_s), **attrs
            )

    def change(self, stack: Stack, parameters: Mapping[str, Any], *, timeout_s: float) -> Stack:
        """Update some parameters alone, template and others as they are; wait as update() does."""
        body = {"parameters": dict(parameters), "timeout_mins": _minutes(timeout_s)}
        with translated(f"Heat does not update {stack.name}"):
            answer = self._sdk.orchestration.patch(f"/stacks/{stack.name}/{stack.id}", json=body)
            openstack.raise_for(answer)
        return self.settled(stack.id, "UPDATE", timeout_s=timeout_s)

    def act(self, stack: Stack, action: str, *, timeout_s: float) -> Stack:
        """SUSPEND, RESUME or CHECK a stack and wait until that has ended, well or not."""
        with translated(f"Heat does not {action.lower()} {stack.name}"):
            path = f"/stacks/{stack.name}/{stack.id}/actions"
            openstack.raise_for(self._sdk.orchestration.post(path, json={action.lower(): None}))
        return self.settled(stack.id, action, timeout_s=timeout_s)

    def deployment(self, deployment: str) -> dict[str, Any]:
        """A software deployment's own record: status and output values."""
        with translated(f"Heat does not show the deployment {deployment}"):
            found = self._sdk.orchestration.get_software_deployment(deployment)
        return {"status": str(found.status), **(found.output_values or {})}

    def metadata(self, stack: Stack, resource: str) -> dict[str, Any]:
        """What a resource of a stack, such as a server, is told."""
        with translated(f"Heat does not show the metadata of {resource}"):
            path = f"/stacks/{stack.name}/{stack.id}/resources/{resource}/metadata"
            answer = self._sdk.orchestration.get(path)
            openstack.raise_for(answer)
        return dict(answer.json()["metadata"])

    def settled(self, stack: str, action: str, *, timeout_s: float) -> Stack:
        """The stack when the action on it has ended, well or not."""
        last: list[Stack] = []

        def ended() -> Stack | None:
            last[:] = [self.stack(stack, with_outputs=False)]
            progress.live(f"{last[0].name}: {last[0].status}")
            return last[0] if last[0].status in _ends_of(action) else None

        try:
            wait.wait_until(ended, timeout_s=timeout_s, interval_s=_POLL_S)
            return self.stack(stack)
        except wait.Deadline:
            raise CloudError(
                f"the stack {last[0].name} is still {last[0].status} after {timeout_s:.0f} s"
            ) from None

    def stack(self, stack: str, *, with_outputs: bool = True) -> Stack:
        """A stack as it is now; its outputs cost Heat a look at every server."""
        with translated(f"Heat does not show the stack {stack}"):
            found = self._sdk.orchestration.get_stack(stack, resolve_outputs=with_outputs)
        outputs = {item["output_key"]: item.get("output_value") for item in found.outputs or []}
        return Stack(
            id=str(found.id), name=str(found.name), status=str(found.status),
            reason=str(found.status_reason or ""), outputs=outputs,
        )  # fmt: skip

    def validate(self, template: Path) -> None:
        """Have Heat itself check a template."""
        attrs = self._read(template)
        with translated(f"Heat does not take {template.name}"):
            answer = self._sdk.orchestration.post("/validate", json=attrs)
            openstack.raise_for(answer)

    def delete(self, stack: str, *, timeout_s: float) -> None:
        """Delete a stack and wait until it is gone."""
        with translated(f"Heat does not delete the stack {stack}"):
            self._sdk.orchestration.delete_stack(stack, ignore_missing=True)

        def gone() -> bool:
            found = self._sdk.orchestration.find_stack(stack, ignore_missing=True)
            if found is not None and found.status == "DELETE_FAILED":
                raise CloudError(f"the stack {found.name} cannot be deleted: {found.status_reason}")
            # complete, or not found any more, comes a moment before the stack leaves Heat's list
            return (found is None or found.status == "DELETE_COMPLETE") and not self._lists(stack)

        with translated(f"Heat does not delete the stack {stack}"):
            try:
                wait.wait_until(gone, timeout_s=timeout_s, interval_s=_POLL_S)
            except wait.Deadline:
                raise CloudError(f"the stack {stack} is not gone after {timeout_s:.0f} s") from None

    def _lists(self, stack: str) -> bool:
        return any(stack in (each.id, each.name) for each in self._sdk.orchestration.stacks())

    def servers(self) -> list[Server]:
        """All of this user's. Heat shortens long names, so that of a stack need not be in its servers'."""
        with translated("Nova does not list the servers"):
            found = list(self._sdk.compute.servers())
        return [
            Server(
                id=str(each.id), image=str((each.image or {}).get("id", "")),
                addresses=tuple(a["addr"] for network in (each.addresses or {}).values() for a in network),
            )
            for each in found
        ]  # fmt: skip

    def reboot(self, server: str, *, timeout_s: float) -> None:
        """Have Nova reboot a server; returns when it has gone down and begins to start."""
        with translated(f"Nova does not reboot {server}"):
            self._sdk.compute.reboot_server(server, "SOFT")
            found = self._sdk.compute.get_server(server)
            self._sdk.compute.wait_for_server(found, status="ACTIVE", wait=timeout_s)

    def console(self, server: str) -> str:
        """The end of a server's console, empty where the cloud does not give it."""
        with contextlib.suppress(CloudError), translated(f"no console of {server}"):
            return str(self._sdk.compute.get_server_console_output(server, length=200)["output"])
        return ""

    def images(self, word: str) -> dict[str, str]:
        """ID -> name of each image of this user's whose name contains this, in whatever state it is."""
        with translated("Glance does not list the images"):
            found = self._sdk.image.images(owner=self._sdk.current_project_id, visibility="private")
            return {str(each.id): str(each.name) for each in found if word in str(each.name)}

    def leftovers(self, name: str, *, servers: Collection[str] = ()) -> list[str]:
        """Stacks, servers, ports and images whose names contain this, and these servers' ports, a line each.

        See servers() for long names; the ports that Nova makes have none.
        """
        with translated(f"cannot look for what is left of {name}"):
            lists: dict[str, Callable[[], Iterator[Any]]] = {
                "stack": self._sdk.orchestration.stacks,
                "server": self._sdk.compute.servers,
                "port": self._sdk.network.ports,
            }
            found = [(kind, each) for kind, ask in lists.items() for each in ask()]
        left = [
            f"{kind} {each.name or each.id}"
            for kind, each in found
            if name in str(each.name) or (kind == "port" and each.device_id in servers)
        ]
        return left + [f"image {image}" for image in self.images(name).values()]

    def _read(self, template: Path) -> dict[str, Any]:
        """Template and the files that it names, as Heat's API takes them."""
        with translated(f"cannot read {template}"):
            attrs = self._sdk.orchestration.read_env_and_templates(template_file=str(template))
        return {key: attrs[key] for key in ("template", "files", "environment") if attrs.get(key)}


def _ends_of(action: str) -> tuple[str, ...]:
    # a stack with rollback: what failed is followed by Heat's own way back, and that is the end of it
    return tuple(f"{each}_{state}" for each in (action, "ROLLBACK") for state in ("COMPLETE", "FAILED"))


def _minutes(seconds: float) -> int:
    return max(1, -int(-seconds // 60))
