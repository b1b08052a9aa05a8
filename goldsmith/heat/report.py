# SPDX-License-Identifier: Apache-2.0
"""The result of an acceptance test: steps and measurements, as heat-verdict.json and as JUnit."""

from __future__ import annotations

import contextlib
import itertools
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from goldsmith.core import progress
from goldsmith.core.documents import Document, about
from goldsmith.errors import CloudError, VerificationError
from goldsmith.heat.outputs import Probe, Timing

VERDICT, JUNIT = "heat-verdict.json", "heat-junit.xml"
PARTS = ("polling", "checking and writing", "kubelet", "signal and Heat")
_LOOPS = 2_000_000  # as in heat-templates/verify/probe.py


@dataclass(frozen=True, kw_only=True, slots=True)
class HeatStep:
    """One step of the test."""

    name: Annotated[str, about("Name of the step.")]
    seconds: Annotated[float, about("Seconds that it took.")]
    failed: Annotated[str | None, about("Why it failed; null if it passed.")] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentCost:
    """CPU time of Heat's agent, its hooks included, between two probes."""

    OPTIONAL: ClassVar[frozenset[str]] = frozenset({"largest_pass_cpu_host_s"})

    cpu_guest_s: Annotated[float, about("CPU seconds, as the guest counts them.")]
    guest_to_host: Annotated[float, about("How many times slower the guest's CPU is than this host's.")]
    cpu_host_s: Annotated[float, about("The same work in CPU seconds of this host.")]
    largest_pass_cpu_host_s: Annotated[
        float | None, about("CPU seconds of this host for the most expensive run of the agent's hooks.")
    ] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HeatFigures:
    """What the test measured before it ended."""

    OPTIONAL: ClassVar[frozenset[str]] = frozenset({"seconds_to_ready", "update_s", "agent_in_3_changes"})

    seconds_to_ready: Annotated[
        float | None, about("Seconds from the pods' manifests to all pods ready, on a new server.")
    ] = None
    update_s: Annotated[
        Mapping[str, float] | None,
        about(f"Seconds of an update by what took them: {', '.join(PARTS)}, and total."),
    ] = None
    agent_in_3_changes: Annotated[
        AgentCost | None, about("CPU time of the agent for three updates of the pods.")
    ] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HeatVerdict(Document):
    """heat-verdict.json: the result of an acceptance test, beside the manifest of the build that it names."""

    SCHEMA: ClassVar[str] = "goldsmith.heat-verdict"

    result: Annotated[Literal["passed", "failed"], about("Whether every step passed.")]
    cloud: Annotated[str, about("Name of the cloud.")]
    image_sha256: Annotated[str, about("sha256 of the disk image that was launched.")]
    manifest_sha256: Annotated[str, about("sha256 of the build's manifest.json.")]
    signed_by: Annotated[
        str | None, about("ID of the key that signed the build; null if no signature was asked for.")
    ] = None
    steps: Annotated[tuple[HeatStep, ...], about("The steps in their order; the last one is `delete`.")]
    figures: Annotated[HeatFigures, about("Measurements of the steps that passed.")]


@dataclass(kw_only=True, slots=True)
class Report:
    """Collects the steps and measurements of a test while it runs."""

    cloud: str
    image_sha256: str
    manifest_sha256: str
    signed_by: str | None = None
    steps: list[HeatStep] = field(default_factory=list)
    seconds_to_ready: float | None = None
    update_s: Mapping[str, float] | None = None
    agent_in_3_changes: AgentCost | None = None

    @property
    def passed(self) -> bool:
        """There are steps, and every one passed."""
        return bool(self.steps) and all(step.failed is None for step in self.steps)

    def verdict(self) -> HeatVerdict:
        """The result so far."""
        return HeatVerdict(
            result="passed" if self.passed else "failed", cloud=self.cloud, signed_by=self.signed_by,
            image_sha256=self.image_sha256, manifest_sha256=self.manifest_sha256, steps=tuple(self.steps),
            figures=HeatFigures(
                seconds_to_ready=self.seconds_to_ready, update_s=self.update_s,
                agent_in_3_changes=self.agent_in_3_changes,
            ),
        )  # fmt: skip

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step and record its failure, which is raised again."""
        start, failed = time.monotonic(), None
        try:
            with progress.step(name):
                yield
        except (CloudError, VerificationError) as e:
            failed = str(e)
            raise
        except BaseException as e:
            failed = type(e).__name__
            raise
        finally:
            seconds = round(time.monotonic() - start, 1)
            self.steps.append(HeatStep(name=name, seconds=seconds, failed=failed))

    def write(self, build: Path) -> None:
        """Write verdict and JUnit report into the folder of the build."""
        verdict = self.verdict()
        verdict.write(build / VERDICT)
        _write_junit(verdict, build / JUNIT)


def split(asked: float, timing: Timing, ended: float) -> dict[str, float]:
    """Seconds of an update by what took them; assumes that the clocks of host and guest agree."""
    marks = (asked, timing.begun_at, timing.written_at, timing.ready_at, ended)
    spent = [round(after - before, 1) for before, after in itertools.pairwise(marks)]
    return {**dict(zip(PARTS, spent, strict=True)), "total": round(ended - asked, 1)}


def cost(before: Probe, after: Probe) -> AgentCost:
    """CPU time of the agent between two probes. Raises VerificationError where the server counts none.

    A pass is one run of 55-heat-config, which runs hooks and sends signals.
    """
    if before.agent_cpu_s is None or after.agent_cpu_s is None or not after.passes_cpu_s:
        raise VerificationError(
            "the server does not report the CPU time of Heat's agent",
            hint="see heat-templates/verify/probe.py",
        )
    start = time.process_time()
    for _ in range(_LOOPS):
        pass
    factor = after.loop_cpu_s / (time.process_time() - start)
    spent = after.agent_cpu_s - before.agent_cpu_s
    return AgentCost(
        cpu_guest_s=round(spent, 2), guest_to_host=round(factor, 2), cpu_host_s=round(spent / factor, 2),
        largest_pass_cpu_host_s=round(max(after.passes_cpu_s) / factor, 2),
    )  # fmt: skip


def _write_junit(verdict: HeatVerdict, target: Path) -> None:
    failed = sum(step.failed is not None for step in verdict.steps)
    suite = ET.Element("testsuite", name="heat", tests=str(len(verdict.steps)), failures=str(failed))
    for step in verdict.steps:
        case = ET.SubElement(suite, "testcase", classname="heat", name=step.name, time=str(step.seconds))
        if step.failed is not None:
            ET.SubElement(case, "failure", message=step.failed.split("\n", 1)[0]).text = step.failed
    ET.ElementTree(suite).write(target, encoding="utf-8", xml_declaration=True)
