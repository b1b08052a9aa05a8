# SPDX-License-Identifier: Apache-2.0
"""What a proof in a cloud found: the steps, what was measured, and the two files that say so."""

from __future__ import annotations

import contextlib
import itertools
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goldsmith.core import files, progress
from goldsmith.errors import CloudError, VerificationError

SCHEMA = "goldsmith.heat-verdict"
VERDICT, JUNIT = "heat-verdict.json", "heat-junit.xml"
PARTS = ("polling", "checking and writing", "kubelet", "signal and Heat")
_LOOPS = 2_000_000  # as in heat-templates/verify/probe.py


@dataclass(kw_only=True, slots=True)
class Step:
    """One thing that was tried: failed is None where it went well."""

    name: str
    seconds: float
    failed: str | None = None


@dataclass(kw_only=True, slots=True)
class Report:
    """What was tried, and what was measured. signed_by: the key's ID, where a signature was asked for."""

    cloud: str
    image_sha256: str
    manifest_sha256: str
    signed_by: str | None = None
    steps: list[Step] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Every step went well."""
        return bool(self.steps) and all(step.failed is None for step in self.steps)

    def as_dict(self) -> dict[str, Any]:
        """The content of heat-verdict.json."""
        return {
            "schema": SCHEMA, "version": 1, "result": "passed" if self.passed else "failed",
            "cloud": self.cloud, "image_sha256": self.image_sha256, "manifest_sha256": self.manifest_sha256,
            "signed_by": self.signed_by,
            "steps": [
                {"name": step.name, "seconds": step.seconds, "failed": step.failed} for step in self.steps
            ],
            "figures": self.figures,
        }  # fmt: skip

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step; a CloudError or VerificationError in it is noted, and raised on."""
        start = time.monotonic()
        step = Step(name=name, seconds=0)
        self.steps.append(step)
        try:
            with progress.step(name):
                yield
        except (CloudError, VerificationError) as e:
            step.failed = str(e)
            raise
        except BaseException as e:
            step.failed = f"{type(e).__name__}"
            raise
        finally:
            step.seconds = round(time.monotonic() - start, 1)

    def write(self, build: Path) -> None:
        """Verdict and JUnit report, beside the manifest that they name."""
        files.write_json(build / VERDICT, self.as_dict())
        _write_junit(self, build / JUNIT)


def split(asked: float, timing: Mapping[str, float], ended: float) -> dict[str, float]:
    """Seconds of an update by what they were spent on; host's and guest's clock are taken to agree."""
    marks = (asked, timing["begun_at"], timing["written_at"], timing["ready_at"], ended)
    spent = [round(after - before, 1) for before, after in itertools.pairwise(marks)]
    return {**dict(zip(PARTS, spent, strict=True)), "total": round(ended - asked, 1)}


def cost(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, float]:
    """CPU seconds of the agent with its hooks between two looks; how slow the guest is for this host.

    A pass is what runs hooks and signals, one call of 55-heat-config.
    """
    start = time.process_time()
    for _ in range(_LOOPS):
        pass
    factor = after["loop_cpu_s"] / (time.process_time() - start)
    spent = after["agent_cpu_s"] - before["agent_cpu_s"]
    figures = {
        "cpu_guest_s": spent, "guest_to_host": factor, "cpu_host_s": spent / factor,
        "largest_pass_cpu_host_s": max(after["passes_cpu_s"]) / factor,
    }  # fmt: skip
    return {name: round(value, 2) for name, value in figures.items()}


def _write_junit(report: Report, target: Path) -> None:
    failed = sum(step.failed is not None for step in report.steps)
    suite = ET.Element("testsuite", name="heat", tests=str(len(report.steps)), failures=str(failed))
    for step in report.steps:
        case = ET.SubElement(suite, "testcase", classname="heat", name=step.name, time=str(step.seconds))
        if step.failed is not None:
            ET.SubElement(case, "failure", message=step.failed.split("\n", 1)[0]).text = step.failed
    ET.ElementTree(suite).write(target, encoding="utf-8", xml_declaration=True)
