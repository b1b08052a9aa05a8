# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from goldsmith.core import documents, paths
from goldsmith.errors import VerificationError
from goldsmith.heat import report
from goldsmith.heat.outputs import Probe
from goldsmith.heat.report import HeatVerdict, Report

PROBE = Probe(boot_id="1", build="b", agent_cpu_s=1.0, passes_cpu_s=(0.5,), loop_cpu_s=0.1)
MEASURED = paths.project_root() / "docs/measurements/soak-heat-roads.json"


def verdict(**changed: Any) -> dict[str, Any]:
    """A verdict with the figures that a real run measured."""
    (trial,) = json.loads(MEASURED.read_text())["trials"]
    steps = [{"name": name, "seconds": each, "failed": None} for name, each in trial["seconds"].items()]
    return {
        "schema": "goldsmith.heat-verdict", "version": 1, "result": "passed", "cloud": "verify-1",
        "image_sha256": trial["image_sha256"], "manifest_sha256": "5" * 64, "signed_by": None,
        "steps": steps, "figures": trial["figures"], **changed,
    }  # fmt: skip


def test_a_real_verdict_comes_back_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "v.json").write_text(json.dumps(verdict()))

    found = HeatVerdict.read(tmp_path / "v.json")

    assert found.as_dict() == verdict()
    jsonschema.validate(found.as_dict(), documents.json_schema(HeatVerdict))


def test_a_verdict_from_before_signatures_and_passes_is_read() -> None:
    old = verdict()
    del old["signed_by"]
    del old["figures"]["agent_in_3_changes"]["largest_pass_cpu_host_s"]

    found = HeatVerdict.parse(old, "heat-verdict.json")

    assert found.signed_by is None
    assert found.as_dict()["figures"] == old["figures"]


def test_a_report_of_a_failed_test_has_the_figures_that_it_came_to() -> None:
    found = Report(cloud="x", image_sha256="1", manifest_sha256="2")
    found.seconds_to_ready = 7.5
    with pytest.raises(VerificationError), found.step("create"):
        raise VerificationError("no address")

    data = found.verdict().as_dict()

    assert (data["result"], data["figures"]) == ("failed", {"seconds_to_ready": 7.5})
    assert data["steps"] == [
        {"name": "create", "seconds": data["steps"][0]["seconds"], "failed": "no address"}
    ]


def test_a_server_without_cpu_accounting_is_a_failure_with_its_reason() -> None:
    for probe in (Probe(boot_id="1", build="b"), Probe(boot_id="1", build="b", agent_cpu_s=1.0)):
        with pytest.raises(VerificationError, match="does not report the CPU time"):
            report.cost(PROBE, probe)

    assert report.cost(PROBE, PROBE).cpu_guest_s == 0
