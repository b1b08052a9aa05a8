# SPDX-License-Identifier: Apache-2.0
"""Typed outputs of the stacks of heat-templates/verify/, and of the probe inside their server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import msgspec

from goldsmith.core.documents import Document, about
from goldsmith.errors import VerificationError
from goldsmith.heat.stacks import Stack


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerState:
    """A container of a pod, as the hook `kubelet` and the probe report it."""

    ready: Annotated[bool, about("The container is ready.")] = False
    image: Annotated[str | None, about("Name of its image.")] = None
    image_digest: Annotated[str | None, about("Digest of its image's manifest.")] = None
    started_at: Annotated[str | None, about("Time of its last start, RFC 3339.")] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PodState:
    """A pod, as the hook `kubelet` and the probe report it."""

    uid: Annotated[str, about("UID of the pod.")] = ""
    containers: Annotated[Mapping[str, ContainerState], about("Containers by name.")] = field(
        default_factory=dict
    )

    @property
    def is_ready(self) -> bool:
        """The pod has containers, and every one is ready."""
        return bool(self.containers) and all(each.ready for each in self.containers.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """When the hook began, wrote the manifests and saw all pods ready: the guest's clock, since 1970."""

    begun_at: float
    written_at: float
    ready_at: float

    @property
    def seconds_to_ready(self) -> float:
        """Seconds from the manifests to all pods ready."""
        return self.ready_at - self.written_at


@dataclass(frozen=True, kw_only=True, slots=True)
class Outputs:
    """The outputs of the templates in verify/ and of heat-standalone.yaml; empty where a stack has none."""

    server: str = ""
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pods: Mapping[str, PodState] = field(default_factory=dict)
    pod_uids: Mapping[str, str] = field(default_factory=dict)
    stats: Mapping[str, Any] = field(default_factory=dict)
    timing: Timing | None = None
    failure: str = ""
    said: str = ""
    others_failure: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe(Document):
    """What heat-templates/verify/probe.py saw inside the server."""

    SCHEMA: ClassVar[str] = "goldsmith.heat-probe"

    reason: Annotated[str, about("Why the probe ran: the template's parameter `reason`.")] = ""
    boot_id: Annotated[str, about("ID of the server's boot.")]
    build: Annotated[str, about("ID of the build that the server was launched from.")]
    datasource: Annotated[
        str, about("cloud-init's subplatform: `config-disk (...)` or `metadata (...)`.")
    ] = ""
    pods: Annotated[Mapping[str, PodState], about("Static pods by name.")] = field(default_factory=dict)
    signals_of_this_boot: Annotated[
        tuple[str, ...], about("Lines of the agent's log about signals that it sent since this boot.")
    ] = ()
    imported_since_boot: Annotated[int, about("Blobs imported into containerd's store since this boot.")] = 0
    agent_cpu_s: Annotated[
        float | None,
        about("CPU seconds of the agent with its hooks; null where systemd does not count them."),
    ] = None
    passes_cpu_s: Annotated[tuple[float, ...], about("CPU seconds of each run of 55-heat-config.")] = ()
    loop_cpu_s: Annotated[float, about("CPU seconds of a loop that the host runs too, to compare both.")] = (
        0.0
    )


def of(stack: Stack) -> Outputs:
    """The outputs of a stack. Raises VerificationError for values of another type."""
    values = {name: value for name, value in stack.outputs.items() if value is not None}
    try:
        return msgspec.convert(values, Outputs)
    except msgspec.ValidationError as e:
        raise VerificationError(
            f"the outputs of the stack {stack.name} cannot be used: {e}",
            hint="use the templates of this checkout",
        ) from e


def timing(stack: Stack) -> Timing:
    """When the hook did what in the last change. Raises VerificationError if it did not report that."""
    found = of(stack).timing
    if found is None:
        raise VerificationError(
            f"the stack {stack.name} has no output timing: {stack.status}, {stack.reason}"
        )
    return found


def probe(stack: Stack) -> Probe:
    """What the probe inside the server saw. Raises VerificationError."""
    result = stack.outputs.get("probe")
    if not result:
        raise VerificationError(
            f"the probe in the server gave no result: {stack.status}, {stack.reason}",
            hint="see the log of os-collect-config in the server",
        )
    try:
        data = json.loads(result) if isinstance(result, str) else result
    except (ValueError, RecursionError) as e:
        raise VerificationError(
            f"the probe in the server answered with no JSON: {result[:200]!r}",
            hint="see the log of os-collect-config in the server",
        ) from e
    return Probe.parse(data, f"of the stack {stack.name}", error=VerificationError)
