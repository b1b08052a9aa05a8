# SPDX-License-Identifier: Apache-2.0
"""Have a Docker engine build an image from a packed context, and follow its output."""

from __future__ import annotations

import contextlib
import re
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import docker
from docker.errors import APIError

from goldsmith.apt import apt_warnings
from goldsmith.core import proc, progress, terminal
from goldsmith.errors import BuildError
from goldsmith.host import tools

_STEP = re.compile(r"^ ---> ([0-9a-f]{12})$", re.MULTILINE)  # the builder prints the image after each step


def build(
    client: docker.DockerClient,
    packed: IO[bytes],
    name: str,
    steps: list[str],
    *,
    shown: str,
    arguments: Mapping[str, str],
    arch: str,
    log_path: Path,
) -> str:
    """The ID of the image, which the engine calls name. shown: what messages call it. Raises BuildError.

    steps gets the short IDs of the images after each step, those of FROM lines too.
    """
    packed.seek(0)
    answer = client.api.build(
        fileobj=packed, custom_context=True, tag=name, decode=True, rm=True, forcerm=True, nocache=True,
        network_mode="host", buildargs=dict(arguments),
        platform=f"linux/{arch}" if tools.host_arch() != arch else None,
    )  # fmt: skip
    try:
        return _follow(answer, shown, log_path, steps)
    except APIError as e:
        raise BuildError(f"cannot build {shown}: {e.explanation or e}", hint=f"full log: {log_path}") from e


def ids(client: docker.DockerClient) -> frozenset[str]:
    """The IDs of all images of the engine."""
    return frozenset(client.api.images(quiet=True, all=True))


def remove(client: docker.DockerClient, name: str, steps: Sequence[str], before: Collection[str]) -> None:
    """Remove what a build made: the image name if it is there, and the unnamed images of its steps.

    before: IDs of images that were there before the build; they stay.
    """
    with contextlib.suppress(APIError):  # its build failed
        client.api.remove_image(name, force=True, noprune=True)
    for step in reversed(steps):  # children before parents
        with contextlib.suppress(APIError):
            about = client.api.inspect_image(step)  # type: ignore[no-untyped-call]
            if about["Id"] not in before and not about.get("RepoTags"):
                client.api.remove_image(about["Id"], noprune=True)


def _follow(answer: Iterator[Mapping[str, Any]], ref: str, log_path: Path, steps: list[str]) -> str:
    image, failed, apt = "", False, apt_warnings.Watch()
    tail: deque[str] = deque(maxlen=proc.TAIL_LINES)
    part = ""  # of a line of output: apt writes it in parts, and each may be an event
    with log_path.open("a", encoding="utf-8") as log:
        for event in answer:
            *whole, part = (part + str(event.get("stream", ""))).split("\n")
            for line in whole:
                apt.line(terminal.plain(line))
            steps += _STEP.findall(str(event.get("stream", "")))
            for line in terminal.plain(str(event.get("stream", event.get("error", "")))).splitlines():
                log.write(f"{line}\n")
                if line.strip():
                    tail.append(line)
                    progress.live(f"{ref}: {line}")
            image = (event.get("aux") or {}).get("ID", image)
            failed = failed or "error" in event  # read on: a half-read response keeps its socket open
    if failed:
        shown = "".join(f"\n  | {line}" for line in tail)
        raise BuildError(f"cannot build {ref}{shown}", hint=f"full log: {log_path}")
    if not image:
        raise BuildError(f"the Docker engine reported no image ID for {ref}", hint=f"see {log_path}")
    apt.require_none(ref)
    return image
