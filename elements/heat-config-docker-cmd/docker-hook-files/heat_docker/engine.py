# SPDX-License-Identifier: Apache-2.0
"""The image's Docker engine by its command line: the keys of docker-cmd are its options."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KEY_LABEL = "goldsmith.heat.deployment"
STAYS_LABEL = "goldsmith.heat.stays"  # it is to run on, and not to its end
_GONE = "no such container"
DIGEST_LABEL = "goldsmith.heat.digest"
# Variables that the command docker itself reads, or the loader of programs.
_OF_DOCKER = re.compile(r"(?i:docker_|ld_|go|otel_)\w*|HOME|PATH|(?i:\w+_proxy)|TMPDIR")
_LINE = 60_000  # bytes of a line that docker reads of a file with variables: less than 64 KiB


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

    def run(self, verb: str, options: Sequence[str], environment: Sequence[str], rest: Sequence[str]) -> Done:
        """Call docker run or docker exec and wait for its end or, detached, for its start.

        environment: NAME=VALUE, or NAME for one of the agent's own; rest: image or container, and command.
        """
        with _handed_over(environment) as (words, files, variables):
            return _docker(verb, *options, *words, *rest, files=files, variables=variables)

    def has_container(self, name: str) -> bool:
        """True if there is a container of this name or ID, whoever made it."""
        return _docker("container", "inspect", "--", name).status == 0

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


def unfit(item: str) -> str:
    """Why docker's command cannot be handed NAME=VALUE; empty if it can."""
    name, _, value = item.partition("=")
    if not name or re.search(r"[\s#\0\ud800-\udfff]", name):
        return f"environment: {name!r} is no name of a variable"
    if re.search(r"[\0\ud800-\udfff]", value):
        return f"environment: the value of {name} has a character that no variable can have"
    if _is_for_no_file(item) and _OF_DOCKER.fullmatch(name):
        return f"environment: the value of {name} must be one line of at most {_LINE} bytes"
    return ""


def _is_for_no_file(item: str) -> bool:
    return "\n" in item or "\r" in item or len(item.encode()) > _LINE


@contextlib.contextmanager
def _handed_over(environment: Sequence[str]) -> Iterator[tuple[list[str], tuple[int, ...], dict[str, str]]]:
    """Options of docker, files and variables for its process: values may be secrets, and all see its argv.

    The file is in memory: nothing stays on the disk, also if this process is killed. It has a line for each
    variable; a value of several lines, or a long one, is one of the variables of docker's process.
    """
    with_value = dict(item.split("=", 1) for item in environment if "=" in item)
    own = {name: value for name, value in with_value.items() if _is_for_no_file(f"{name}={value}")}
    lines = "".join(f"{name}={value}\n" for name, value in with_value.items() if name not in own)
    named = [f"--env={name}" for name in (*(item for item in environment if "=" not in item), *own)]
    if not lines:
        yield named, (), own
        return
    file = os.memfd_create("environment")
    try:
        os.write(file, lines.encode())
        yield [f"--env-file=/dev/fd/{file}", *named], (file,), own
    finally:
        os.close(file)


def _docker(*words: str, files: tuple[int, ...] = (), variables: Mapping[str, str] | None = None) -> Done:
    try:
        done = subprocess.run(
            ["docker", *words], stdin=subprocess.DEVNULL, capture_output=True, check=False,
            env={**os.environ, **(variables or {})}, pass_fds=files,
        )  # fmt: skip
    except FileNotFoundError:
        raise EngineError("this image has no Docker engine") from None
    except (OSError, ValueError) as e:  # too long, or with characters that no command line can have
        raise EngineError(f"docker {words[0]} cannot be called: {e}") from e
    out, said = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    return Done(status=done.returncode, stdout=out, stderr=said)
