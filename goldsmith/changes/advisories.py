# SPDX-License-Identifier: Apache-2.0
"""Security advisories that a build closes or opens: what a database knows of two bills of materials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from goldsmith.core.documents import about
from goldsmith.scan.vulnerabilities import VulnerabilityFinding, VulnerabilityReport


@dataclass(frozen=True, kw_only=True, slots=True)
class AdvisoryChanges:
    """Security advisories by which two builds differ."""

    closed: Annotated[
        tuple[VulnerabilityFinding, ...],
        about("Those that match a component of the old build, and none of the new one. The worst first."),
    ]
    opened: Annotated[
        tuple[VulnerabilityFinding, ...],
        about("Those that match a component of the new build, and none of the old one. The worst first."),
    ]
    remaining: Annotated[int, about("Number of advisories that match both builds.", ge=0)]
    unknown: Annotated[int, about("Number of components of the new build that were not looked up.", ge=0)]

    def lines(self) -> list[str]:
        """For people: a heading, and a line for each finding."""
        found = []
        for title, sign, findings in (("closed", "-", self.closed), ("opened", "+", self.opened)):
            ids = len({finding.id for finding in findings})
            found += [f"advisories {title} ({ids})", *(f"  {sign} {_line(each)}" for each in findings)]
        return [
            *found,
            f"advisories of both builds: {self.remaining}; components not looked up: {self.unknown}",
        ]


def between(old: VulnerabilityReport, new: VulnerabilityReport) -> AdvisoryChanges:
    """What the same database knows of an old and of a new build."""
    before, after = ({finding.id for finding in report.findings} for report in (old, new))
    return AdvisoryChanges(
        closed=tuple(each for each in old.findings if each.id not in after),
        opened=tuple(each for each in new.findings if each.id not in before),
        remaining=len(before & after), unknown=len(new.unknown),
    )  # fmt: skip


def _line(finding: VulnerabilityFinding) -> str:
    return f"{finding.level} {finding.id}  {finding.where}: {finding.package} {finding.version}"
