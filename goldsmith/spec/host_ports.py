# SPDX-License-Identifier: Apache-2.0
"""Ports of the VM that pods ask for: hostPort, or any port of a pod in the host's network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from goldsmith.spec.document import KeyPath, YamlDocument, dotted
from goldsmith.spec.problem import Problem


@dataclass(frozen=True, kw_only=True, slots=True)
class _HostPort:
    """A port of the VM that a container asks for."""

    path: KeyPath
    protocol: str
    number: int
    address: str  # empty: all of the VM's

    def excludes(self, other: _HostPort) -> bool:
        """The kubelet would refuse the pod that comes second."""
        same = (self.protocol, self.number) == (other.protocol, other.number)
        return same and (not self.address or not other.address or self.address == other.address)


def check(document: YamlDocument) -> Iterator[Problem]:
    """Ports of the VM that no machine has, or that two containers of verify.pods want.

    The kubelet would refuse the pod, or the later one.
    """
    taken: list[_HostPort] = []
    for index, pod in enumerate(document.get(list, "verify", "pods")):
        for wanted in _ports_of(("verify", "pods", index), pod):
            if not 0 < wanted.number < 1 << 16:
                message = f"{dotted(wanted.path)} wants port {wanted.number} of the host"
                yield document.problem(wanted.path, message, "ports are 1 to 65535")
                continue
            first = next((port for port in taken if port.excludes(wanted)), None)
            if first is None:
                taken.append(wanted)
                continue
            message = f"{dotted(wanted.path)} wants port {wanted.number}/{wanted.protocol} of the host twice"
            yield document.problem(wanted.path, message, f"{dotted(first.path)} has it")


def _ports_of(path: KeyPath, pod: object) -> Iterator[_HostPort]:
    spec = pod.get("spec") if isinstance(pod, dict) else None
    if not isinstance(spec, dict):
        return
    for at, port in _lists(spec, (*path, "spec"), "containers", "ports"):
        number = port.get("hostPort") or (port.get("containerPort") if spec.get("hostNetwork") is True else 0)
        address = str(port.get("hostIP") or "")
        if isinstance(number, int) and not isinstance(number, bool) and number:
            yield _HostPort(
                path=at, protocol=str(port.get("protocol") or "TCP"), number=number,
                address="" if address in ("0.0.0.0", "::") else address,  # noqa: S104 - as the kubelet reads it
            )  # fmt: skip


def _lists(
    parent: Mapping[str, object], path: KeyPath, key: str, *keys: str
) -> Iterator[tuple[KeyPath, dict[str, object]]]:
    """The mappings in a list, or in the lists of its mappings, with their paths."""
    items = parent.get(key)
    for index, item in enumerate(items if isinstance(items, list) else []):
        at = (*path, key, index)
        if isinstance(item, dict):
            if keys:
                yield from _lists(item, at, *keys)
            else:
                yield at, item
