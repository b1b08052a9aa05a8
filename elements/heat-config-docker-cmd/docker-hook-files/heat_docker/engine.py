# SPDX-License-Identifier: Apache-2.0
"""The image's Docker engine by its command line: the keys of docker-cmd are its options."""

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
    """The engine failed; the text is its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """The result of a command in a container."""

    status: int
    stdout: str
    stderr: str


class Engine:
    """The part of docker that the hook uses."""

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
        """True if the image can be run without a registry."""
        return _docker("image", "inspect", image).status == 0

    def run(self, words: Sequence[str]) -> Done:
        """Call docker run or docker exec and wait for its end or, detached, for its start."""
        return _docker(*words)

    def stop(self, name: str) -> None:
        """Stop a container and wait for it; does nothing if it is stopped."""
        self._asked("stop", name)

    def start(self, name: str) -> None:
        """Start a stopped container; does nothing if it runs."""
        self._asked("start", name)

    def rename(self, name: str, to: str) -> None:
        """Give a container another name."""
        self._asked("rename", name, to)

    def remove(self, name: str) -> None:
        """Remove a container and its volumes without a name."""
        self._asked("rm", "--force", "--volumes", name)

    def log(self, name: str) -> str:
        """The last lines of a container's output."""
        done = _docker("logs", "--tail", "10", name)
        return (done.stdout + done.stderr).strip()

    def _asked(self, *words: str) -> str:
        done = _docker(*words)
        if done.status != 0:
            raise EngineError(f"docker {words[0]} failed: {done.stderr.strip() or done.status}")
        return done.stdout


def labels(labelled: Mapping[str, str]) -> list[str]:
    """The options that give a container its labels."""
    return [f"--label={name}={value}" for name, value in labelled.items()]


def _docker(*words: str) -> Done:
    try:
        done = subprocess.run(["docker", *words], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except FileNotFoundError:
        raise EngineError("this image has no Docker engine") from None
    out, said = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    return Done(status=done.returncode, stdout=out, stderr=said)
