# SPDX-License-Identifier: Apache-2.0
"""What must hold of a stack that is being proven: each function raises VerificationError otherwise."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from goldsmith.containers.images_lock import ImagesLock
from goldsmith.errors import CloudError, VerificationError
from goldsmith.heat.client import Stack


def require_complete(stack: Stack, action: str) -> None:
    """The action ended well."""
    failure = stack.outputs.get("failure")
    said = f": {failure}" if failure else ""
    require(stack.status == f"{action}_COMPLETE", f"{stack.status}, {stack.reason}{said}")


def require_failed(stack: Stack, reason: str) -> None:
    """An update failed, and says why in its output."""
    require(stack.status == "UPDATE_FAILED", f"an update that must fail is {stack.status}")
    said = str(stack.outputs["failure"])
    require(reason in said, f"the failure does not say why: {said!r}, {stack.reason}")


def require_pods(stack: Stack, pods: list[dict[str, Any]]) -> None:
    """These pods and no others are there and ready."""
    found = stack.outputs["pods"] or {}
    names = {pod["metadata"]["name"] for pod in pods}
    require(set(found) == names, f"the pods are {sorted(found)}, must be {sorted(names)}")
    unready = [name for name, pod in found.items() if not is_ready(pod)]
    require(not unready, f"complete, but not ready: {unready}")


def require_digests(stack: Stack, lock: ImagesLock) -> None:
    """Every container runs from an image of the lock."""
    digests = {name: image.digest for image in lock.images for name in image.names}
    for name, pod in stack.outputs["pods"].items():
        for container in pod["containers"].values():
            wanted = digests.get(container["image"])
            require(
                container["image_digest"] == wanted,
                f"{name} runs {container['image_digest']}, not {wanted}",
            )


def require_datasource(found: str, *, config_drive: bool) -> None:
    """cloud-init knows the server from where it has to; found: its subplatform."""
    wanted = "config-disk" if config_drive else "metadata"
    require(found.startswith(wanted), f"the server's datasource is {found}, must be {wanted}")


def require_started_once(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """The containers that were there before are the very ones of now."""
    for name, pod in before.items():
        was = {key: each["started_at"] for key, each in pod["containers"].items()}
        is_ = {
            key: each["started_at"] for key, each in now.get(name, {"containers": {}})["containers"].items()
        }
        require(was == is_, f"the pod {name} did not run on: started at {is_}, must be {was}")


def probe(stack: Stack) -> dict[str, Any]:
    """What the script within the server saw."""
    result = stack.outputs.get("probe")
    if not result:
        raise VerificationError(f"the probe in the server gave no result: {stack.status}, {stack.reason}")
    return dict(json.loads(result) if isinstance(result, str) else result)


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Every container of a pod, as the hook reports it."""
    return bool(pod["containers"]) and all(each["ready"] for each in pod["containers"].values())


@contextlib.contextmanager
def refused(*words: str) -> Iterator[None]:
    """The cloud says no to what the block asks, and one of these words is in its reason."""
    try:
        yield
    except CloudError as e:
        require(any(word in str(e) for word in words), f"refused, but not for {' or '.join(words)}: {e}")
        return
    raise VerificationError("the cloud took what it has to refuse")


def require(is_so: object, otherwise: str) -> None:
    """Raise VerificationError with these words unless it is so."""
    if not is_so:
        raise VerificationError(otherwise)
