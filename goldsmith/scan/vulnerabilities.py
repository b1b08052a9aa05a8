# SPDX-License-Identifier: Apache-2.0
"""Known vulnerabilities of what a bill of materials lists, and whether they fit a budget."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packageurl import PackageURL

from goldsmith.core import builds, files, paths, progress
from goldsmith.errors import ProvenanceError, SpecError
from goldsmith.scan import osv, sbom
from goldsmith.scan.osv import Database

FILE = "vulnerabilities.json"
VARIABLE = "GOLDSMITH_VULNERABILITIES"
FIXABLE = "-fixable"
BUDGETS = tuple(f"{level}{end}" for level in osv.LEVELS[1:] for end in ("", FIXABLE))
_SHOWN = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A vulnerability of a component. where: host, kubelet, or the container image that holds it."""

    id: str
    level: str
    where: str
    package: str
    version: str
    fixed: str | None

    def as_dict(self) -> dict[str, Any]:
        """For --json and the manifest."""
        return {
            "id": self.id, "level": self.level, "where": self.where, "package": self.package,
            "version": self.version, "fixed": self.fixed,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """unknown: what could not be looked up. blind: ecosystems of which the database has no record at all."""

    findings: tuple[Finding, ...]
    looked_up: int
    unknown: tuple[str, ...]
    records: int
    blind: tuple[str, ...] = ()

    def over(self, budget: str | None) -> tuple[Finding, ...]:
        """What is of the budget's level or above; with -fixable, only where there is a version to go to."""
        if budget is None:
            return ()
        least = osv.LEVELS.index(budget.removesuffix(FIXABLE))
        return tuple(
            finding
            for finding in self.findings
            if osv.LEVELS.index(finding.level) >= least
            and (finding.fixed is not None or not budget.endswith(FIXABLE))
        )

    def fails(self, budget: str | None) -> bool:
        """An image with this budget is not to be called good."""
        return budget is not None and bool(self.blind or self.over(budget))

    def as_dict(self) -> dict[str, Any]:
        """For --json and the manifest."""
        return {
            "looked_up": self.looked_up, "unknown": list(self.unknown), "records": self.records,
            "blind": list(self.blind),
            "findings": [finding.as_dict() for finding in self.findings],
        }  # fmt: skip

    def as_text(self) -> str:
        """Counts, and a line for each finding, the worst first."""
        counts = ", ".join(
            f"{sum(finding.level == level for finding in self.findings)} {level}"
            for level in reversed(osv.LEVELS)
        )
        head = f"{self.looked_up} components, {self.records} records: {counts}"
        if self.unknown:
            head += f"\nnot looked up: {len(self.unknown)}, such as {self.unknown[0]}"
        return "\n".join([head, *_lines(self.findings)])


def find(bill: Path, database: Database) -> Report:
    """What the database knows of a bill's components. Raises ProvenanceError for what is no bill of ours."""
    findings: set[Finding] = set()
    unknown: list[str] = []
    blind: set[str] = set()
    looked_up = 0
    try:
        for where, asked in _components(json.loads(bill.read_text())):
            ecosystem, name, version = asked
            if ecosystem is None or ecosystem not in database.ecosystems:
                unknown.append(f"{where}: {name}")
                blind |= {ecosystem} if ecosystem else set()
                continue
            looked_up += 1
            for match in database.matches(ecosystem, name, version):
                findings.add(
                    Finding(
                        id=match.id, level=match.level, where=where, package=name, version=version,
                        fixed=match.fixed,
                    )
                )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise ProvenanceError(f"{bill} is no bill of materials of ours: {type(e).__name__}: {e}") from e
    ordered = sorted(findings, key=lambda f: (-osv.LEVELS.index(f.level), f.id, f.where, f.package))
    return Report(
        findings=tuple(ordered),
        looked_up=looked_up,
        unknown=tuple(unknown),
        records=database.records,
        blind=tuple(sorted(blind)),
    )


def database_path() -> Path | None:
    """Where the environment says that a database is; relative to the project."""
    named = os.environ.get(VARIABLE)
    return paths.project_root() / named if named else None


def of_build(folder: Path, database: Database | None) -> Report | None:
    """What is known of a build's bill of materials, written beside it; None, and said, without a database."""
    if database is None:
        progress.note(f"known vulnerabilities were not looked up: {VARIABLE} names no database")
        return None
    with progress.step("look up known vulnerabilities"):
        report = find(folder / sbom.FILE, database)
    document = {"schema": "goldsmith.vulnerabilities", "version": 1, **report.as_dict()}
    text = json.dumps(document, indent=1, sort_keys=True) + "\n"
    files.write_atomically(folder / FILE, text.encode())
    return report


def needed(budget: str | None) -> Database | None:
    """The database that a build is to use. Raises ProvenanceError for a budget without one."""
    path = database_path()
    if path is None and budget is not None:
        raise ProvenanceError(
            f"the spec has a budget for known vulnerabilities ({budget}), and there is no database",
            hint=f"set {VARIABLE} to a folder of OSV records, or to an archive of them",
        )
    return None if path is None else osv.load(path)


def require(report: Report, budget: str | None) -> None:
    """Raise ProvenanceError, naming the worst, where the report is over the budget, or blind."""
    if budget is not None and report.blind:
        raise ProvenanceError(
            f"the database of known vulnerabilities has no record of {', '.join(report.blind)}",
            hint=f"give {VARIABLE} the archives of these ecosystems too, or take the budget from the spec",
        )
    over = report.over(budget)
    if over:
        shown = "".join(f"\n  | {line}" for line in _lines(over[:_SHOWN]))
        more = f"\n  | and {len(over) - _SHOWN} more" if len(over) > _SHOWN else ""
        raise ProvenanceError(
            f"{len(over)} known vulnerabilities are over the budget ({budget}){shown}{more}",
            hint="upgrade what has a fixed version, or change vulnerabilities.fail-on in the spec",
        )


def _lines(findings: tuple[Finding, ...]) -> list[str]:
    return [
        f"{f.level:8}  {f.id}  {f.where}: {f.package} {f.version}, "
        + (f"fixed in {f.fixed}" if f.fixed else "no fixed version")
        for f in findings
    ]


_Asked = tuple[str | None, str, str]


def _components(document: Mapping[str, Any]) -> Iterator[tuple[str, _Asked]]:
    for part in document.get("components", ()):
        if part["type"] == "library":
            yield "host", _asked(part)
            continue
        unread = _property(part, "unread")
        if unread:
            yield part["name"], (None, unread, "")
        if part["bom-ref"] == sbom.KUBELET:  # its own module, which its list leaves out
            yield part["name"], ("Go", "k8s.io/kubernetes", part["version"])
        inside = part.get("components", ())
        yield from ((part["name"], _asked(each)) for each in inside)
        go = _property(part, "go")
        if go:
            yield part["name"], ("Go", "stdlib", go.removeprefix("go").partition(" ")[0])


def _asked(part: Mapping[str, Any]) -> _Asked:
    """Ecosystem (None where no database knows it), name and version as OSV's records have them."""
    url = PackageURL.from_string(part["purl"])
    if url.type == "golang":
        return "Go", part["name"], part["version"].removeprefix("v").removesuffix("+incompatible")
    name, _, version = (_property(part, "source") or f"{part['name']} {part['version']}").partition(" ")
    distribution, _, release = str(url.qualifiers.get("distro", "")).partition("-")
    if url.type == "deb" and distribution == "debian" and release:
        return f"Debian:{release}", name, version
    return None, part["purl"], ""


def _property(part: Mapping[str, Any], name: str) -> str:
    found = (each["value"] for each in part.get("properties", ()) if each["name"] == f"goldsmith:{name}")
    return str(next(found, ""))


def look_up(name: str, out: Path, build: str, *, database: str, budget: str) -> Report:
    """What is known of a bill. name: its file, or the spec of a build below out.

    Raises SpecError and ProvenanceError.
    """
    if budget and budget not in BUDGETS:
        raise SpecError(f"no budget is called {budget!r}", hint=f"one of: {' '.join(BUDGETS)}")
    path = Path(database) if database else database_path()
    if path is None:
        raise SpecError("there is no database to look in", hint=f"add --database PATH, or set {VARIABLE}")
    bill = Path(name) if Path(name).is_file() else builds.find_build(out, name, build) / sbom.FILE
    return find(bill, osv.load(path))
