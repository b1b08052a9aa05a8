# SPDX-License-Identifier: Apache-2.0
"""The image's Docker engine, by its command line: docker-cmd's keys are that one's options."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KEY_LABEL = "goldsmith.heat.deployment"
STAYS_LABEL = "goldsmith.heat.stays"  # it is to run on, and not to its end
_GONE = "no such container"
DIGEST_LABEL = "goldsmith.heat.digest"


class EngineError(Exception):
    """The engine did not do what it was told; the text is its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """How a command that was run in a container ended."""

    status: int
    stdout: str
    stderr: str


class Engine:
    """What the hook needs of docker."""

    def containers(self, key: str | None = None) -> dict[str, dict[str, Any]]:
        """name -> docker's inspection of the containers of one deployment, or of all there are."""
        chosen = () if key is None else ("--filter", f"label={KEY_LABEL}={key}")
        while True:
            ids = self._asked("ps", "--all", "--quiet", "--no-trunc", *chosen).split()
            try:
                found = json.loads(self._asked("container", "inspect", *ids)) if ids else []
            except EngineError as e:
                if _GONE in str(e).lower():  # one of them, between the two questions
                    continue
                raise
            return {container["Name"].lstrip("/"): container for container in found}

    def has_image(self, image: str) -> bool:
        """It can be run without a registry."""
        return _docker("image", "inspect", image).status == 0

    def run(self, words: Sequence[str]) -> Done:
        """Docker run or docker exec, to its end or, detached, to its start."""
        return _docker(*words)

    def stop(self, name: str) -> None:
        """Stop a container and wait for it; nothing where it is stopped."""
        self._asked("stop", name)

    def start(self, name: str) -> None:
        """Start a stopped container; nothing where it runs."""
        self._asked("start", name)

    def rename(self, name: str, to: str) -> None:
        """Give a container another name."""
        self._asked("rename", name, to)

    def remove(self, name: str) -> None:
        """End a container, with the volumes that have no name."""
        self._asked("rm", "--force", "--volumes", name)

    def log(self, name: str) -> str:
        """The last lines of what a container said."""
        done = _docker("logs", "--tail", "10", name)
        return (done.stdout + done.stderr).strip()

    def _asked(self, *words: str) -> str:
        done = _docker(*words)
        if done.status != 0:
            raise EngineError(f"docker {words[0]} failed: {done.stderr.strip() or done.status}")
        return done.stdout


def labels(labelled: Mapping[str, str]) -> list[str]:
    """The words of a command line that give a container its labels."""
    return [f"--label={name}={value}" for name, value in labelled.items()]


def _docker(*words: str) -> Done:
    try:
        done = subprocess.run(["docker", *words], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except FileNotFoundError:
        raise EngineError("this image has no Docker engine") from None
    out, said = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    return Done(status=done.returncode, stdout=out, stderr=said)
