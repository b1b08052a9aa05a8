# SPDX-License-Identifier: Apache-2.0
"""Procedures: update a stack in several steps, check after each, stop at the first failure.

A procedure is a YAML file, rendered by Jinja2 first: a list `steps`. Each step has a name, the `parameters`
of the stack that it changes (none: it only checks), and its checks: `outputs` (name and value) and `run`, a
command for sh that gets the stack's outputs as JSON on standard input.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from goldsmith.core import documents, paths, proc, progress
from goldsmith.core.documents import about
from goldsmith.errors import CloudError, CommandError, SpecError
from goldsmith.heat.client import Cloud
from goldsmith.heat.stacks import Stack
from goldsmith.spec import schema, template
from goldsmith.spec.document import YamlDocument, parse_document
from goldsmith.spec.problem import Problem

SCHEMA: Mapping[str, Any] = {
    "type": "object", "additionalProperties": False, "required": ["steps"],
    "properties": {
        "steps": {
            "type": "array", "minItems": 1,
            "items": {
                "type": "object", "additionalProperties": False, "required": ["name"],
                "properties": {
                    "name": {"type": "string", "minLength": 1},
                    "parameters": {"type": "object"},
                    "outputs": {"type": "object"},
                    "run": {"type": "string", "minLength": 1},
                },
            },
        },
    },
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """parameters: of the stack, those that change; outputs and run: the checks afterwards."""

    name: str
    parameters: Mapping[str, Any]
    outputs: Mapping[str, Any]
    run: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishedStep:
    """A step that passed."""

    name: Annotated[str, about("Name of the step.")]
    seconds: Annotated[float, about("Seconds that it took.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcedureAnswer(documents.Document):
    """The answer of `stack-procedure --json`."""

    SCHEMA: ClassVar[str] = "goldsmith.stack-procedure"

    stack: Annotated[str, about("The stack as it was named on the command line.")]
    steps: Annotated[tuple[FinishedStep, ...], about("The steps of this run, in their order.")]


def load(name: Path, variables: Mapping[str, str]) -> tuple[Step, ...]:
    """The steps of a file, which may be a shipped one. Raises SpecError, which lists every problem."""
    path = name if name.is_file() else paths.shipped(str(name))
    if not path.is_file():
        raise SpecError(f"no procedure {name}: there is no such file", hint="see docs/heat.md")
    rendered = template.render(path, [path.parent], variables, lambda file: file.name)
    document = parse_document(rendered.text or "", rendered.origin)
    problems = [*rendered.problems] or [*document.problems] or [*schema.check(document, SCHEMA)]
    problems = problems or [*_semantic_problems(document)]
    if problems:
        raise SpecError("\n".join(map(str, problems)), problems=problems)
    nothing: dict[str, Any] = {"parameters": {}, "outputs": {}, "run": None}
    return tuple(Step(**{**nothing, **step}) for step in document.data["steps"])


def _semantic_problems(document: YamlDocument) -> Iterator[Problem]:
    """Problems that the schema cannot express: duplicate names, and YAML values that Heat's API lacks."""
    names: list[str] = []
    for index, step in enumerate(document.data["steps"]):
        if step["name"] in names:
            yield document.problem(("steps", index, "name"), f"two steps have the name {step['name']}")
        names.append(step["name"])
        for name, value in step.get("parameters", {}).items():
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError):
                path = ("steps", index, "parameters", name)
                yield document.problem(
                    path, f"{name} has a value that Heat does not take: {value!r}", "quote it"
                )


def apply(
    cloud: Cloud, stack: str, steps: tuple[Step, ...], *, start: str = "", deadline_s: float
) -> ProcedureAnswer:
    """Take a stack through the steps, from the one named start on.

    deadline_s: of one step's update, and of its command. Raises CloudError at the first failure, and leaves
    the stack as it is then.
    """
    names = [step.name for step in steps]
    if start and start not in names:
        raise SpecError(f"the procedure has no step {start!r}", hint=f"steps: {', '.join(names)}")
    found = cloud.stacks.get(stack, with_outputs=False)
    if found.status.endswith("_IN_PROGRESS"):
        raise CloudError(f"the stack {stack} is {found.status}", hint="wait until that has ended")
    seconds: dict[str, float] = {}
    for step in steps[names.index(start) if start else 0 :]:
        try:
            with progress.timed(step.name, seconds):
                found = _step(cloud, found, step, deadline_s)
        except CloudError as e:
            raise CloudError(
                f"step {step.name}: {e}",
                hint=f"repair the cause, then resume with --from {step.name!r}; the stack stays as it is",
            ) from e
    done = (FinishedStep(name=name, seconds=each) for name, each in seconds.items())
    return ProcedureAnswer(stack=stack, steps=tuple(done))


def _step(cloud: Cloud, stack: Stack, step: Step, deadline_s: float) -> Stack:
    if step.parameters:
        found = cloud.stacks.update_parameters(stack, step.parameters, timeout_s=deadline_s)
        if found.status != "UPDATE_COMPLETE":
            raise CloudError(f"the stack is {found.status}: {found.reason}")
    else:
        found = cloud.stacks.get(stack.id)
    for name, expected in step.outputs.items():
        if name not in found.outputs:
            raise CloudError(
                f"the stack has no output {name}; it has {', '.join(sorted(found.outputs))}",
                hint="correct the step's key outputs",
            )
        if found.outputs[name] != expected:
            raise CloudError(f"the output {name} is {found.outputs[name]!r}, must be {expected!r}")
    if step.run is not None:
        _command(step.run, cloud, found, deadline_s)
    return found


def _command(script: str, cloud: Cloud, stack: Stack, deadline_s: float) -> None:
    """Run it in the user's own environment, which has what their clients need."""
    ours = {"STACK": stack.name, **({"OS_CLOUD": cloud.name} if cloud.name else {})}
    env = {**os.environ, **proc.mark(), **ours}
    data = json.dumps(dict(stack.outputs)).encode()
    try:
        proc.capture(["sh", "-euc", script], stdin=data, env=env, timeout_s=deadline_s)
    except CommandError as e:
        printed = f": {e.tail[-1]}" if e.tail else ""
        raise CloudError(f"the command exited with {e.returncode}{printed}") from e
