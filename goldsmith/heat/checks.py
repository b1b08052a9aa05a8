# SPDX-License-Identifier: Apache-2.0
"""Conditions on a stack and its server: each function raises VerificationError if its condition fails."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from goldsmith.containers.images_lock import ImagesLock
from goldsmith.errors import CloudError, VerificationError
from goldsmith.heat import outputs
from goldsmith.heat.outputs import PodState
from goldsmith.heat.stacks import Stack


def require_complete(stack: Stack, action: str) -> None:
    """The action on the stack is complete."""
    failure = stack.outputs.get("failure")
    detail = f": {failure}" if failure else ""
    require(stack.status == f"{action}_COMPLETE", f"{stack.status}, {stack.reason}{detail}")


def require_failed(stack: Stack, reason: str) -> None:
    """An update failed, and the output `failure` contains the reason."""
    require(stack.status == "UPDATE_FAILED", f"an update that must fail is {stack.status}")
    failure = outputs.of(stack).failure
    require(
        reason in failure, f"the failure does not give its reason {reason!r}: {failure!r}, {stack.reason}"
    )


def require_pods(stack: Stack, pods: list[dict[str, Any]]) -> None:
    """The server runs these pods and no others, and every one is ready."""
    found = outputs.of(stack).pods
    names = {pod["metadata"]["name"] for pod in pods}
    require(set(found) == names, f"the pods are {sorted(found)}, must be {sorted(names)}")
    unready = [name for name, pod in found.items() if not pod.is_ready]
    require(not unready, f"complete, but not ready: {unready}")


def require_digests(stack: Stack, lock: ImagesLock) -> None:
    """Every container runs from an image of the lock."""
    digests = {name: image.digest for image in lock.images for name in image.names}
    for name, pod in outputs.of(stack).pods.items():
        for container in pod.containers.values():
            locked = digests.get(container.image or "")
            require(
                locked is not None and container.image_digest == locked,
                f"{name} runs {container.image_digest}, not {locked}",
            )


def require_datasource(found: str, *, config_drive: bool) -> None:
    """cloud-init uses the right datasource; found: its subplatform."""
    expected = "config-disk" if config_drive else "metadata"
    require(found.startswith(expected), f"the server's datasource is {found}, must be {expected}")


def require_started_once(before: Mapping[str, PodState], now: Mapping[str, PodState]) -> None:
    """The containers of before still run: none was started again."""
    for name, pod in before.items():
        was, is_ = _starts(pod), _starts(now.get(name, PodState()))
        require(was == is_, f"containers of the pod {name} were restarted: started at {is_}, must be {was}")


@contextlib.contextmanager
def rejected(*words: str) -> Iterator[None]:
    """The cloud rejects the block's request, and its reason contains one of these words."""
    try:
        yield
    except CloudError as e:
        require(any(word in str(e) for word in words), f"rejected, but not for {' or '.join(words)}: {e}")
        return
    raise VerificationError("the cloud accepted a request that it should have rejected")


def require(condition: object, message: str) -> None:
    """Raise VerificationError with this message unless the condition is true."""
    if not condition:
        raise VerificationError(message)


def _starts(pod: PodState) -> dict[str, str | None]:
    return {name: each.started_at for name, each in pod.containers.items()}
