# SPDX-License-Identifier: Apache-2.0
"""Several stack-updates with a check after each: a procedure, which stops at the first bad answer.

The file is YAML, rendered by Jinja2 first: a list `steps`, each with a name, the `parameters` of the stack
that it changes (none: it only looks), and what has to hold then: `outputs` (name and value) and `run`, a
command for sh that gets the stack's outputs as JSON on standard input.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
from jinja2 import StrictUndefined, TemplateError, UndefinedError
from jinja2.sandbox import SandboxedEnvironment

from goldsmith import proc, progress, specyaml
from goldsmith.errors import CloudError, CommandError, SpecError
from goldsmith.heat import Cloud, Stack
from goldsmith.specyaml import Document, Problem

SCHEMA: Mapping[str, Any] = {
    "type": "object", "additionalProperties": False, "required": ["steps"],
    "properties": {
        "steps": {
            "type": "array", "minItems": 1,
            "items": {
                "type": "object", "additionalProperties": False, "required": ["name"],
                "properties": {
                    "name": {"type": "string", "minLength": 1},
                    "parameters": {"type": "object", "minProperties": 1},
                    "outputs": {"type": "object", "minProperties": 1},
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
    try:
        environment = SandboxedEnvironment(undefined=StrictUndefined)  # nothing of it is HTML
        text = environment.from_string(path.read_text()).render(variables)
    except (OSError, UnicodeDecodeError) as e:
        raise SpecError(f"cannot read the procedure {path}: {e}") from e
    except UndefinedError as e:
        raise SpecError(f"{path}: {e}", hint="set it: --var NAME=VALUE") from e
    except (TemplateError, TypeError, ValueError, ArithmeticError) as e:
        raise SpecError(f"{path} cannot be rendered: {e}", hint="the value of a --var is text") from e
    document = specyaml.parse(text, lambda line: (path.name, line))
    problems = list(document.problems)
    if not document.broken:
        found = jsonschema.Draft202012Validator(SCHEMA).iter_errors(document.data)
        problems += [document.problem(tuple(error.absolute_path), error.message) for error in found]
    if not problems:
        problems = list(_unsendable(document))
    if not problems:
        names = [step["name"] for step in document.data["steps"]]
        twice = {name for name in names if names.count(name) > 1}
        problems += [document.problem((), f"two steps are called {name}") for name in sorted(twice)]
    if problems:
        raise SpecError("\n".join(str(problem) for problem in problems))
    return tuple(
        Step(
            name=step["name"], parameters=step.get("parameters", {}), outputs=step.get("outputs", {}),
            run=step.get("run"),
        )
        for step in document.data["steps"]
    )  # fmt: skip


def _unsendable(document: Document) -> Iterator[Problem]:
    """YAML has values that Heat's API has not: dates above all."""
    for index, step in enumerate(document.data["steps"]):
        for name, value in step.get("parameters", {}).items():
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError):
                path = ("steps", index, "parameters", name)
                yield document.problem(path, f"{name} is no value for Heat: {value!r}", "put it in quotes")


def carry_out(
    cloud: Cloud, stack: str, steps: tuple[Step, ...], *, start: str = "", deadline_s: float
) -> list[dict[str, Any]]:
    """Take a stack through the steps, from the one called start on; what was done, with seconds.

    deadline_s: of one step's update, and of its command. Raises CloudError at the first bad answer: the
    stack stays as it is then.
    """
    names = [step.name for step in steps]
    if start and start not in names:
        raise SpecError(f"no step is called {start!r}", hint=f"steps: {', '.join(names)}")
    found = cloud.stack(stack, with_outputs=False)
    if found.status.endswith("_IN_PROGRESS"):
        raise CloudError(f"the stack {stack} is {found.status}", hint="wait until that has ended")
    done = []
    for step in steps[names.index(start) if start else 0 :]:
        begun = time.monotonic()
        with progress.step(step.name):
            try:
                found = _step(cloud, found, step, deadline_s)
            except CloudError as e:
                raise CloudError(
                    f"step {step.name}: {e}",
                    hint=f"the stack stays as it is; mend it and go on with --from {step.name!r}",
                ) from e
        done.append({"name": step.name, "seconds": round(time.monotonic() - begun, 1)})
    return done


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
    env = {**os.environ, "STACK": stack.name, **({"OS_CLOUD": cloud.name} if cloud.name else {})}
    data = json.dumps(dict(stack.outputs)).encode()
    try:
        proc.capture(["sh", "-euc", script], stdin=data, env=env, timeout_s=deadline_s)
    except CommandError as e:
        said = f": {e.tail[-1]}" if e.tail else ""
        raise CloudError(f"the command ended with {e.returncode}{said}") from e
