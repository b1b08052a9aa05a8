# SPDX-License-Identifier: Apache-2.0
"""What the task known-vulnerabilities does: find bill and database, and look up."""

from __future__ import annotations

from pathlib import Path

from goldsmith import osv, sbom, vulnerabilities, workspace
from goldsmith.errors import SpecError
from goldsmith.vulnerabilities import Report


def look_up(name: str, out: Path, build: str, *, database: str, budget: str) -> Report:
    """What is known of a bill. name: its file, or the spec of a build below out.

    Raises SpecError and ProvenanceError.
    """
    if budget and budget not in vulnerabilities.BUDGETS:
        raise SpecError(
            f"no budget is called {budget!r}", hint=f"one of: {' '.join(vulnerabilities.BUDGETS)}"
        )
    path = Path(database) if database else vulnerabilities.database_path()
    if path is None:
        raise SpecError(
            "there is no database to look in", hint=f"add --database PATH, or set {vulnerabilities.VARIABLE}"
        )
    bill = Path(name) if Path(name).is_file() else workspace.find_build(out, name, build) / sbom.FILE
    return vulnerabilities.find(bill, osv.load(path))
