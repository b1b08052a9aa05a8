# SPDX-License-Identifier: Apache-2.0
"""Known vulnerabilities of releases in clouds, by the bills of materials in their records."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from goldsmith.core.documents import Document, about
from goldsmith.errors import ProvenanceError, PublishError
from goldsmith.publish.operations import asking
from goldsmith.publish.operations.asking import Asked, LineIn, Question
from goldsmith.publish.records import ReleaseRecord
from goldsmith.scan import sbom, vulnerabilities
from goldsmith.scan.osv import Database
from goldsmith.scan.vulnerabilities import VulnerabilityReport


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseReport:
    """Known vulnerabilities of a release in one cloud."""

    build_id: Annotated[str, about("ID of the build.")]
    image: Annotated[str, about("ID of the image.")]
    report: Annotated[VulnerabilityReport, about("What the database knows of its components today.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseReportsAnswer(Document):
    """Answer of known-vulnerabilities with --release."""

    SCHEMA: ClassVar[str] = "goldsmith.release-vulnerabilities"

    clouds: Annotated[Mapping[str, ReleaseReport], about("Name of a cloud -> what its release has.")]
    errors: Annotated[Mapping[str, str], about("Name of a cloud that did not answer -> why.")] = field(
        default_factory=dict
    )

    def as_text(self) -> str:
        """Counts and findings, below the release of each cloud."""
        return asking.reports_as_text(self.clouds)


def ask(question: Question, database: Database, *, build: str = "") -> list[Asked[ReleaseReport]]:
    """Look up the release with the alias, or that of a build, in each cloud. Raises SpecError."""

    def of_line(here: LineIn) -> ReleaseReport:
        image = here.release(build)
        origin = f"{here.glance.cloud}: the bill of {image.build_id}"
        report = find(here.record(image), origin, database)
        return ReleaseReport(build_id=image.build_id, image=image.id, report=report)

    return asking.ask_line(question, of_line)


def answer(asked: Sequence[Asked[ReleaseReport]]) -> ReleaseReportsAnswer:
    """The answer of known-vulnerabilities with --release."""
    return ReleaseReportsAnswer(clouds=asking.answers(asked), errors=asking.errors(asked))


def require(asked: Sequence[Asked[ReleaseReport]], budget: str | None) -> None:
    """Raise ProvenanceError where a release is over the budget."""
    for each in asking.answers(asked).values():
        vulnerabilities.require(each.report, budget)


def find(record: ReleaseRecord, origin: str, database: Database) -> VulnerabilityReport:
    """What the database knows of a record's bill, which has to be the one of its manifest.

    Raises PublishError where the record has no bill, ProvenanceError for another bill.
    """
    if record.bill is None:
        raise PublishError(
            f"{origin} is not in its record: an older goldsmith published it",
            hint="use sbom.cdx.json of its build: scripts/inv known-vulnerabilities FILE",
        )
    sha256 = hashlib.sha256(record.bill.encode()).hexdigest()
    if record.read_manifest().files.get(sbom.FILE) != sha256:
        raise ProvenanceError(
            f"{origin} is not the one that its manifest names",
            hint="check the release: scripts/inv verify-release",
        )
    return vulnerabilities.find_in(record.bill, origin, database)
