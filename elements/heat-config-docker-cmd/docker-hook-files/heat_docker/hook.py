# SPDX-License-Identifier: Apache-2.0
"""heat-config's hook for the group docker-cmd: the deployment on standard input, the answer to Heat out.

CREATE, UPDATE and RESUME bring containers up, DELETE removes and SUSPEND stops them. A container whose
definition did not change is not touched. One that is replaced is kept, stopped, until all of its deployment
runs; where that fails, it is put back.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from heat_config import given
from heat_config.given import BadRequest

from heat_docker import request, watch
from heat_docker.engine import DIGEST_LABEL, KEY_LABEL, STAYS_LABEL, Done, Engine, EngineError, labels
from heat_docker.request import BEFORE, Request, Step


def main() -> int:
    """Read the deployment, apply it, print the answer; exit status 0 if there is an answer."""
    return given.answered(lambda config: answer(config, Engine()))


def prune() -> int:
    """Remove the containers of every deployment of Heat's whose key is not in the list on standard input."""
    engine, wanted = Engine(), set(json.load(sys.stdin))
    for name, container in engine.containers().items():
        key = str(_label(container, KEY_LABEL))
        if key != "None" and key not in wanted and not key.startswith(f"{given.BY_HAND}/"):
            print(f"heat-config-docker-cmd: {key} is over, its container {name} ends", file=sys.stderr)
            engine.remove(name)
    return 0


def answer(config: Mapping[str, Any], engine: Engine) -> dict[str, Any]:
    """The answer for Heat, also after any failure."""
    try:
        asked = request.parse(config)
        if asked.action in given.ENDS:
            return _end(asked, engine)
        return _Change(asked, engine).run()
    except (BadRequest, EngineError) as e:
        return _failed(str(e))


class _Change:
    """Changes the containers of a deployment into those of its config."""

    def __init__(self, asked: Request, engine: Engine) -> None:
        self.asked, self.engine = asked, engine
        self.ran: list[Done] = []
        self.failures: list[str] = []
        self.status = 1  # of a failure: that of docker where it was one of its commands

    def run(self) -> dict[str, Any]:
        """The answer to Heat; after a failure the previous containers are restored."""
        put_back(self.asked.key, self.engine)  # where an earlier pass was killed
        self._check()
        before = self.engine.containers(self.asked.key)
        try:
            self._steps(before)
            if not self.failures:
                self.failures += watch.until_running(
                    self.engine, self.asked.key, self._detached(), deadline_s=self.asked.deadline_s,
                    min_ready_s=self.asked.min_ready_s,
                )  # fmt: skip
        except EngineError as e:
            self.failures.append(str(e))
        outputs = {"containers": watch.report(self.engine.containers(self.asked.key))}
        if self.failures:
            self._undo(before)
            failed = _failed("\n".join(self.failures), self.status)
            return {**outputs, **failed, "deploy_stdout": self._said("stdout")}
        self._forget(before)
        return {
            "containers": watch.report(self.engine.containers(self.asked.key)),
            "deploy_stdout": self._said("stdout"), "deploy_stderr": self._said("stderr"),
            "deploy_status_code": 0,
        }  # fmt: skip

    def _check(self) -> None:
        """Raises BadRequest before any change if something cannot run on this image."""
        problems = []
        there = self.engine.containers()
        names = {*there, *(step.name for step in self.asked.steps if step.runs)}
        for step in (step for step in self.asked.steps if not step.runs):
            target = step.command[0]
            if target not in names and not self.engine.has_container(target):
                problems.append(f"container {step.name}: exec in {target}, and there is no such container")
        for step in (step for step in self.asked.steps if step.runs):
            holder = there.get(step.name)
            if holder is not None and _label(holder, KEY_LABEL) != self.asked.key:
                problems.append(f"container {step.name}: the name is taken by another one")
            if not self.asked.allow_pull and not self.engine.has_image(step.image):
                problems.append(f"container {step.name}: the image {step.image} is not embedded")
        if problems:
            raise BadRequest("\n".join(problems))

    def _steps(self, before: Mapping[str, Any]) -> None:
        """Apply the entries in their order; one that fails keeps no later one from being tried."""
        for step in self.asked.steps:
            mine = before.get(step.name) if step.runs else None
            if mine is not None and _label(mine, DIGEST_LABEL) == step.digest:
                if step.detach:
                    self.engine.start(step.name)
                    continue
                if _has_ended(mine, step.exit_codes):
                    continue
            if mine is not None:
                self.engine.stop(step.name)
                self.engine.rename(step.name, step.name + BEFORE)
            done = self._run(step)
            if not step.detach:  # of the others this is an id
                self.ran.append(done)
            if done.status not in (step.exit_codes if not step.detach else (0,)):
                said = f"container {step.name}: exit status {done.status}: {done.stderr}"
                self.failures.append(said.rstrip(": \n"))
                self.status = done.status or 1

    def _run(self, step: Step) -> Done:
        if not step.runs:
            return self.engine.run("exec", step.options, step.environment, step.command)
        stack, resource = self.asked.owner
        stays = {STAYS_LABEL: "yes"} if step.detach else {}
        labelled = labels(
            {
                KEY_LABEL: self.asked.key, DIGEST_LABEL: step.digest, **stays, "deploy_stack_id": stack,
                "deploy_resource_name": resource, "config_id": self.asked.config_id,
                "container_name": step.name, "managed_by": "docker-cmd",
            }
        )  # fmt: skip
        pull = "missing" if self.asked.allow_pull else "never"
        detached = ("--detach",) if step.detach else ()
        options = ["--name", step.name, f"--pull={pull}", *detached, *labelled, *step.options]
        return self.engine.run("run", options, step.environment, [step.image, *step.command])

    def _detached(self) -> dict[str, tuple[int, ...]]:
        return {step.name: step.exit_codes for step in self.asked.steps if step.detach}

    def _undo(self, before: Mapping[str, Any]) -> None:
        for name in self.engine.containers(self.asked.key):
            if name not in before and not name.endswith(BEFORE):
                self.engine.remove(name)
        put_back(self.asked.key, self.engine)
        for name, container in before.items():  # stopped, and not set aside
            if container["State"]["Running"] and name in self.engine.containers(self.asked.key):
                self.engine.start(name)

    def _forget(self, before: Mapping[str, Any]) -> None:
        wanted = {step.name for step in self.asked.steps if step.runs}
        for name in self.engine.containers(self.asked.key):
            if name.endswith(BEFORE) or (name in before and name not in wanted):
                self.engine.remove(name)

    def _said(self, stream: str) -> str:
        return "".join(getattr(done, stream) for done in self.ran)


def put_back(key: str, engine: Engine) -> None:
    """Rename and start the previous containers if their successors were not verified."""
    mine = engine.containers(key)
    for name in (name for name in mine if name.endswith(BEFORE)):
        plain = name.removesuffix(BEFORE)
        if plain in mine:
            engine.remove(plain)
        engine.rename(name, plain)
        if _label(mine[name], STAYS_LABEL):  # another has done its work, and must not do it twice
            engine.start(plain)


def _end(asked: Request, engine: Engine) -> dict[str, Any]:
    mine = {} if asked.is_replaced else engine.containers(asked.key)
    for name in mine:
        if asked.action == "DELETE":
            engine.remove(name)
        else:
            engine.stop(name)
    how = "removed" if asked.action == "DELETE" else "stopped"
    return {"deploy_stdout": f"{len(mine)} containers {how}", "deploy_stderr": "", "deploy_status_code": 0}


def _has_ended(container: Mapping[str, Any], codes: tuple[int, ...]) -> bool:
    """True if it ended with success and was not interrupted by a reboot."""
    state = container["State"]
    return state["Status"] == "exited" and state["ExitCode"] in codes


def _label(container: Mapping[str, Any], name: str) -> str | None:
    labelled = container["Config"].get("Labels") or {}
    return labelled.get(name)


def _failed(why: str, status: int = 1) -> dict[str, Any]:
    return {"deploy_stdout": "", "deploy_stderr": why, "deploy_status_code": status}
