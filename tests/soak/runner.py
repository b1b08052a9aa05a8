# SPDX-License-Identifier: Apache-2.0
"""Run the trials of a soak test: seeded, recorded one by one, resumable."""

from __future__ import annotations

import datetime
import json
import os
import platform
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from goldsmith.core import files, paths, progress
from goldsmith.errors import SpecError, VerificationError
from goldsmith.host import accelerator
from goldsmith.image import checkout
from tests.soak import (
    container,
    docs,
    embed,
    fleet,
    hardware,
    heat_failures,
    heat_group,
    heat_idle,
    heat_signals,
    heat_templates,
    heat_transports,
    heat_updates,
    kill,
    kill_linked,
    layers,
    mutate,
    offline,
    publish,
    rebuild,
    shapes,
    upstream,
)

SCHEMA, SCHEMA_VERSION = "goldsmith.soak", 1


class Trials(Protocol):
    """A kind of trial. The report holds what the methods return; problems are lines of text."""

    def prepare(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Called before the first trial of a run. facts: of the interrupted run, if any."""

    def one(self, index: int, choice: random.Random) -> dict[str, Any]:
        """Run trial number index, from 0 on. The answer has the key problems."""

    def finish(self) -> dict[str, Any]:
        """Called after the last trial. The answer has the key problems."""


# Name -> the trials, made from a folder for their files.
KINDS: dict[str, Callable[[Path], Trials]] = {
    "container": container.InContainer,
    "docs": docs.Documents,
    "embed": embed.EmbedTrials,
    "fleet": fleet.Fleet,
    "hardware": hardware.OnHardware,
    "heat-engine": heat_signals.Engine,
    "heat-failures": heat_failures.Failures,
    "heat-group": heat_group.Group,
    "heat-idle": heat_idle.Idle,
    "heat-signal": heat_signals.Signals,
    "heat-templates": heat_templates.Templates,
    "heat-transports": heat_transports.Transports,
    "heat-update": heat_updates.Updates,
    "kill": kill.Kill,
    "kill-linked": kill_linked.KillLinked,
    "layers": layers.Layers,
    "mutate": mutate.Mutate,
    "offline": offline.Offline,
    "publish": publish.Kills,
    "publish-names": publish.Watched,
    "rebuild": rebuild.Rebuild,
    "shapes": shapes.Shapes,
    "upstream": upstream.Upstream,
}

ALIASES = {"heat-roads": "heat-transports"}  # an earlier name, also in reports


def run(name: str, *, times: int, seed: int, report: Path) -> dict[str, Any]:
    """Run all trials that the report lacks; return its content.

    Raises VerificationError at the first trial with a problem. The same call then resumes after it.
    """
    name = ALIASES.get(name, name)
    if name not in KINDS:
        raise SpecError(f"no soak test is called {name!r}", hint=f"kinds: {', '.join(sorted(KINDS))}")
    report.parent.mkdir(parents=True, exist_ok=True)
    state = _resumed(report, name, seed) or _begun(name, seed, report)
    state["times"] = times
    trials = KINDS[name](paths.scratch_root() / f"soak-{name}-{seed}")
    state["facts"] = trials.prepare(state["facts"])
    for index in range(len(state["trials"]), times):
        with progress.step(f"trial {index + 1} of {times}"):
            trial = trials.one(index, random.Random(f"{seed}-{index}"))  # noqa: S311 - to be repeatable
        state["trials"].append(trial)
        _judge(state, report, trial)
    state["end"] = trials.finish()
    _judge(state, report, state["end"])
    bad = [number for number, trial in enumerate(state["trials"], 1) if trial["problems"]]
    if bad:
        raise VerificationError(f"{len(bad)} of {times} trials failed: {bad}", hint=f"see {report}")
    progress.note(f"{times} trials passed: {report}")
    return state


def _judge(state: dict[str, Any], report: Path, answer: Mapping[str, Any]) -> None:
    """Write the report; raise VerificationError if there is a problem."""
    state["failed"] = sum(1 for trial in state["trials"] if trial["problems"])
    state["updated"] = _now()
    files.write_json(report, state)
    if answer["problems"]:
        listed = "".join(f"\n  | {line}" for line in answer["problems"])
        raise VerificationError(
            f"trial {len(state['trials'])} of {state['name']}, seed {state['seed']}:{listed}",
            hint=f"see {report}",
        )


def _begun(name: str, seed: int, report: Path) -> dict[str, Any]:
    commit, dirty = checkout.commit_of(paths.project_root())
    found = accelerator.find(log_path=report.with_suffix(".log"))
    return {
        "schema": SCHEMA, "version": SCHEMA_VERSION, "name": name, "seed": seed, "begun": _now(),
        "commit": commit, "dirty": dirty, "facts": {}, "trials": [],
        "host": {
            "cores": os.cpu_count(), "accelerator": found.name, "kernel": platform.release(),
            "system": platform.freedesktop_os_release().get("PRETTY_NAME", ""),
        },
    }  # fmt: skip


def _resumed(report: Path, name: str, seed: int) -> dict[str, Any] | None:
    """The report of an interrupted run; raises SpecError if it belongs to another."""
    try:
        state: dict[str, Any] = json.loads(report.read_text())
    except FileNotFoundError:
        return None
    except ValueError as e:
        raise SpecError(
            f"{report} is no report of a soak test: {e}", hint="name another file: --report"
        ) from e
    known = ALIASES.get(state.get("name", ""), state.get("name"))
    if [state.get("schema"), known, state.get("seed")] != [SCHEMA, name, seed]:
        raise SpecError(
            f"{report} belongs to another soak test: {state.get('name')}, seed {state.get('seed')}",
            hint="name another file: --report",
        )
    return state


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
