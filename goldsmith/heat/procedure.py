# SPDX-License-Identifier: Apache-2.0
"""Several stack-updates with a check after each: a procedure, which stops at the first bad answer.

The file is YAML, rendered by Jinja2 first: a list `steps`, each with a name, the `parameters` of the stack
that it changes (none: it only looks), and what has to hold then: `outputs` (name and value) and `run`, a
command for sh that gets the stack's outputs as JSON on standard input.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.core import proc, progress
from goldsmith.errors import CloudError, CommandError, SpecError
from goldsmith.heat.client import Cloud, Stack
from goldsmith.spec import schema, template
from goldsmith.spec.document import Document, parse_document
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
    """parameters: of the stack, those that change; outputs and run: what has to hold afterwards."""

    name: str
    parameters: Mapping[str, Any]
    outputs: Mapping[str, Any]
    run: str | None


def load(path: Path, variables: Mapping[str, str]) -> tuple[Step, ...]:
    """The steps of a file. Raises SpecError, which names every problem with its line."""
    if not path.is_file():
        raise SpecError(f"there is no procedure {path}", hint="see docs/heat.md")
    rendered = template.render(path, [path.parent], variables, lambda file: file.name)
    document = parse_document(rendered.text or "", rendered.origin)
    problems = [*rendered.problems] or [*document.problems] or [*schema.check(document, SCHEMA)]
    problems = problems or [*_senseless(document)]
    if problems:
        raise SpecError("\n".join(map(str, problems)), problems=problems)
    nothing: dict[str, Any] = {"parameters": {}, "outputs": {}, "run": None}
    return tuple(Step(**{**nothing, **step}) for step in document.data["steps"])


def _senseless(document: Document) -> Iterator[Problem]:
    """What the schema cannot say: names that are there twice, and values of YAML that Heat's API has not."""
    names: list[str] = []
    for index, step in enumerate(document.data["steps"]):
        if step["name"] in names:
            yield document.problem(("steps", index, "name"), f"two steps are called {step['name']}")
        names.append(step["name"])
        for name, value in step.get("parameters", {}).items():
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError):
                path = ("steps", index, "parameters", name)
                yield document.problem(path, f"{name} is no value for Heat: {value!r}", "put it in quotes")


def carry_out(
    cloud: Cloud, stack: str, steps: tuple[Step, ...], *, start: str = "", deadline_s: float
) -> dict[str, float]:
    """Take a stack through the steps, from the one called start on; name of each -> its seconds.

    deadline_s: of one step's update, and of its command. Raises CloudError at the first bad answer: the
    stack stays as it is then.
    """
    names = [step.name for step in steps]
    if start and start not in names:
        raise SpecError(f"no step is called {start!r}", hint=f"steps: {', '.join(names)}")
    found = cloud.stack(stack, with_outputs=False)
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
                hint=f"the stack stays as it is; mend it and go on with --from {step.name!r}",
            ) from e
    return seconds


def _step(cloud: Cloud, stack: Stack, step: Step, deadline_s: float) -> Stack:
    if step.parameters:
        found = cloud.change(stack, step.parameters, timeout_s=deadline_s)
        if found.status != "UPDATE_COMPLETE":
            raise CloudError(f"the stack is {found.status}: {found.reason}")
    else:
        found = cloud.stack(stack.id)
    for name, wanted in step.outputs.items():
        if name not in found.outputs:
            raise CloudError(f"the stack has no output {name}, but {', '.join(sorted(found.outputs))}")
        if found.outputs[name] != wanted:
            raise CloudError(f"the output {name} is {found.outputs[name]!r}, must be {wanted!r}")
    if step.run is not None:
        _command(step.run, cloud, found, deadline_s)
    return found


def _command(script: str, cloud: Cloud, stack: Stack, deadline_s: float) -> None:
    """In the user's own environment, which has what their clients need."""
    ours = {"STACK": stack.name, **({"OS_CLOUD": cloud.name} if cloud.name else {})}
    env = {**os.environ, **proc.mark(), **ours}
    data = json.dumps(dict(stack.outputs)).encode()
    try:
        proc.capture(["sh", "-euc", script], stdin=data, env=env, timeout_s=deadline_s)
    except CommandError as e:
        said = f": {e.tail[-1]}" if e.tail else ""
        raise CloudError(f"the command ended with {e.returncode}{said}") from e
