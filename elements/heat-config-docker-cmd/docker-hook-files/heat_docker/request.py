# SPDX-License-Identifier: Apache-2.0
"""The config of a deployment of the group docker-cmd.

The form is that of heat-agents' hook of this name: a mapping of a container's name to what `docker run` gets.
https://opendev.org/openstack/heat-agents/src/branch/master/heat-config-docker-cmd
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from heat_config import given
from heat_config.given import BadRequest

from heat_docker.engine import unfit

BEFORE = ".before"  # ends the name of a container that waits for its successor to run
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
# key -> option of docker run; a list gives the option once for each item
_OPTIONS = {
    "env_file": "--env-file", "net": "--net", "pid": "--pid",
    "privileged": "--privileged", "restart": "--restart", "user": "--user", "volumes": "--volume",
    "volumes_from": "--volumes-from",
}  # fmt: skip
_OF_EXEC = ("privileged", "user")
# name: heat-agents' hook takes and ignores it too, the container has the name of its entry
_OTHERS = ("action", "command", "detach", "environment", "exit_codes", "image", "name", "start_order")
KEYS = frozenset((*_OPTIONS, *_OTHERS))


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One entry of the config, in the order of start_order: a container to run, or a command in one."""

    name: str
    runs: bool  # a container of its own; else a command in one that runs
    image: str
    options: tuple[str, ...]  # words of the command line of docker run or docker exec
    environment: tuple[str, ...]  # NAME=VALUE, or NAME for one of the agent's own
    command: tuple[str, ...]  # of exec: the container's name comes first
    detach: bool
    exit_codes: tuple[int, ...]

    @property
    def digest(self) -> str:
        """Equal for entries that need not run again."""
        text = json.dumps([self.image, self.options, self.environment, self.command, self.detach])
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One deployment. Times are in seconds."""

    key: str  # of the deployment, the same for its life
    owner: tuple[str, str]  # stack and resource
    config_id: str
    action: str
    steps: tuple[Step, ...]
    deadline_s: float  # until every container runs, and is healthy where its image says how
    min_ready_s: float  # for which it must have run
    allow_pull: bool
    is_replaced: bool  # Heat has another deployment of this key, to which the containers belong now


def parse(config: Mapping[str, Any]) -> Request:
    """The request in the deployment on standard input. Raises BadRequest."""
    inputs, action = given.inputs(config), given.action(config)
    entries = {} if action in given.ENDS else given.resolved(_mapping(config.get("config")), inputs)
    problems = list(_problems(entries))
    if problems:
        raise BadRequest("\n".join(problems))
    ordered = sorted(entries.items(), key=lambda entry: float(entry[1].get("start_order", 0)))
    if action in given.ENDS:
        inputs = {}
    return Request(
        key=given.key(config), owner=given.owner(config), config_id=str(config.get("id")), action=action,
        steps=tuple(_step(name, entry) for name, entry in ordered),
        deadline_s=given.number(inputs, "containers_deadline", 600),
        min_ready_s=given.number(inputs, "min_ready_seconds", 3),
        allow_pull=given.flag(inputs, "allow_pull"), is_replaced=bool(config.get(given.REPLACED)),
    )  # fmt: skip


def _mapping(config: object) -> dict[str, Any]:
    try:
        found = yaml.safe_load(config) if isinstance(config, str) else config
    except (yaml.YAMLError, ValueError, RecursionError) as e:  # ValueError: a date that there is not
        raise BadRequest(f"the config is no YAML: {str(e).replace(chr(10), ' ')}") from e
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise BadRequest(f"the config must be a mapping of names to containers, got {found!r}")
    return found


def _problems(entries: Mapping[str, Any]) -> Iterator[str]:
    for name, entry in entries.items():
        where = f"container {name}"
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name.endswith(BEFORE):
            yield f"{where}: a name is letters, digits, '_', '.' and '-', and does not end in {BEFORE}"
        elif not isinstance(entry, dict):
            yield f"{where}: must be a mapping, got {entry!r}"
        else:
            yield from (f"{where}: {problem}" for problem in _wrong(entry))


def _wrong(entry: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted(set(map(str, entry)) - KEYS):
        yield f"unknown key {key}; there are {', '.join(sorted(KEYS))}"
    try:
        words = _words(entry.get("command"))
        float(entry.get("start_order", 0))
        [int(code) for code in entry.get("exit_codes", [0])]
    except (TypeError, ValueError) as e:
        yield f"command must be words, start_order a number, exit_codes a list of numbers: {e}"
        return
    action = entry.get("action", "run")
    if action not in ("run", "exec"):
        yield f"action must be run or exec, got {action!r}"
    elif action == "run" and not isinstance(entry.get("image"), str):
        yield "it has no image"
    elif action == "exec" and not words[1:]:
        yield "exec needs a command: the name of a container, then what it runs"
    yield from filter(None, map(unfit, _items(entry.get("environment"))))


def _step(name: str, entry: Mapping[str, Any]) -> Step:
    runs = entry.get("action", "run") == "run"
    taken = {key: option for key, option in _OPTIONS.items() if runs or key in _OF_EXEC}
    return Step(
        name=name, runs=runs, image=str(entry.get("image") or ""),
        options=tuple(
            f"{option}={item}" for key, option in taken.items() for item in _items(entry.get(key))
        ),
        environment=tuple(_items(entry.get("environment"))),
        command=tuple(_words(entry.get("command"))),
        detach=runs and bool(entry.get("detach", True)),
        exit_codes=tuple(int(code) for code in entry.get("exit_codes", [0])),
    )  # fmt: skip


def _items(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        value = [f"{name}={_text(part)}" for name, part in value.items()]
    for item in value if isinstance(value, list) else [value]:
        if item not in (None, ""):
            yield _text(item)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _words(command: object) -> list[str]:
    if isinstance(command, list):
        return [_text(word) for word in command]
    return shlex.split(str(command)) if command else []
