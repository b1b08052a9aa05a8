# SPDX-License-Identifier: Apache-2.0
"""Look up the known vulnerabilities of a bill of materials; hold them against the spec's budget."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from packageurl import PackageURL

from goldsmith.core import build_folders, paths, progress
from goldsmith.core.documents import Document, about
from goldsmith.errors import ProvenanceError, SpecError
from goldsmith.scan import go_buildinfo, osv, sbom
from goldsmith.scan.components import KUBELET, KUBERNETES, STDLIB, UNKNOWN
from goldsmith.scan.osv import Database
from goldsmith.spec import load

FILE = "vulnerabilities.json"
VARIABLE = "GOLDSMITH_VULNERABILITIES"
FIXABLE = "-fixable"
BUDGETS = tuple(f"{level}{end}" for level in osv.LEVELS[1:] for end in ("", FIXABLE))
_SHOWN = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class VulnerabilityFinding:
    """A known vulnerability of a component."""

    id: Annotated[str, about("ID of the record in the database.")]
    level: Annotated[str, about("unknown, low, medium, high or critical.")]
    where: Annotated[str, about("host, kubelet, or the container image that holds the component.")]
    package: Annotated[str, about("Name of the component.")]
    version: Annotated[str, about("Version of the component.")]
    fixed: Annotated[str | None, about("First version without it; null where there is none.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class VulnerabilityReport(Document):
    """Known vulnerabilities of all components of a bill of materials."""

    SCHEMA: ClassVar[str] = "goldsmith.vulnerabilities"

    findings: Annotated[tuple[VulnerabilityFinding, ...], about("The worst first.")]
    looked_up: Annotated[int, about("Number of components that were looked up.", ge=0)]
    unknown: Annotated[tuple[str, ...], about("Components that could not be looked up.")]
    records: Annotated[int, about("Number of records of the database.", ge=0)]
    blind: Annotated[
        tuple[str, ...], about("Ecosystems of components of which the database has no record at all.")
    ] = ()

    def over(self, budget: str | None) -> tuple[VulnerabilityFinding, ...]:
        """Findings of the budget's level or above; with -fixable, only those with a fixed version."""
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
        """Whether an image with this budget fails its verification."""
        return budget is not None and bool(self.blind or self.over(budget))

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


def find(bill: Path, database: Database) -> VulnerabilityReport:
    """Look up all components of a bill. Raises ProvenanceError for a file that is no bill of goldsmith's."""
    try:
        text = bill.read_text()
    except (OSError, ValueError) as e:
        raise _no_bill(str(bill), e) from e
    return find_in(text, str(bill), database)


def find_in(text: str, origin: str, database: Database) -> VulnerabilityReport:
    """Look up all components of a bill of materials in a text. Raises ProvenanceError, which names origin."""
    findings: set[VulnerabilityFinding] = set()
    unknown: list[str] = []
    blind: set[str] = set()
    looked_up = 0
    try:
        for where, asked in _components(sbom.of_text(text)):
            ecosystem, name, version = asked
            if ecosystem is None or ecosystem not in database.ecosystems:
                unknown.append(f"{where}: {name}")
                blind |= {ecosystem} if ecosystem else set()
                continue
            looked_up += 1
            for match in database.matches(ecosystem, name, version):
                findings.add(
                    VulnerabilityFinding(
                        id=match.id, level=match.level, where=where, package=name, version=version,
                        fixed=match.fixed,
                    )
                )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise _no_bill(origin, e) from e
    ordered = sorted(findings, key=lambda f: (-osv.LEVELS.index(f.level), f.id, f.where, f.package))
    return VulnerabilityReport(
        findings=tuple(ordered),
        looked_up=looked_up,
        unknown=tuple(unknown),
        records=database.records,
        blind=tuple(sorted(blind)),
    )


def _no_bill(origin: str, error: Exception) -> ProvenanceError:
    return ProvenanceError(
        f"{origin} is no bill of materials of goldsmith's: {type(error).__name__}: {error}"
    )


def database_path() -> Path | None:
    """The database that the environment names, relative to the project."""
    named = os.environ.get(VARIABLE)
    return paths.project_root() / named if named else None


def of_build(folder: Path, database: Database | None) -> VulnerabilityReport | None:
    """Look up a build's bill of materials and write the report beside it; None without a database."""
    if database is None:
        progress.note(f"known vulnerabilities were not looked up: {VARIABLE} names no database")
        return None
    with progress.step("look up known vulnerabilities"):
        report = find(folder / sbom.FILE, database)
    report.write(folder / FILE)
    return report


def needed(budget: str | None) -> Database | None:
    """The database that a build looks in. Raises ProvenanceError for a budget without one."""
    path = database_path()
    if path is None and budget is not None:
        raise ProvenanceError(
            f"the spec has a budget for known vulnerabilities ({budget}), but there is no database",
            hint=f"set {VARIABLE} to a folder of OSV records, or to an archive of them",
        )
    return None if path is None else osv.load(path)


def require(report: VulnerabilityReport, budget: str | None) -> None:
    """Raise ProvenanceError, naming the worst, where the report is over the budget, or blind."""
    if budget is not None and report.blind:
        raise ProvenanceError(
            f"the database of known vulnerabilities has no record of {', '.join(report.blind)}",
            hint=f"add the archives of these ecosystems to {VARIABLE}, or remove the budget from the spec",
        )
    over = report.over(budget)
    if over:
        shown = "".join(f"\n  | {line}" for line in _lines(over[:_SHOWN]))
        more = f"\n  | and {len(over) - _SHOWN} more" if len(over) > _SHOWN else ""
        raise ProvenanceError(
            f"{len(over)} known vulnerabilities are over the budget ({budget}){shown}{more}",
            hint="upgrade the components with a fixed version, or change vulnerabilities.fail-on in the spec",
        )


def _lines(findings: tuple[VulnerabilityFinding, ...]) -> list[str]:
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
        if part["type"] in {"library", "operating-system"}:  # whose sources are looked up by their packages
            continue
        unread = _property(part, "unread")
        if unread:
            yield part["name"], (None, unread, "")
        inside = [each for each in part.get("components", ()) if each["type"] == "library"]
        yield from ((part["name"], _asked(each)) for each in inside)
        if part["bom-ref"] == KUBELET:
            listed = {each["name"] for each in inside}
            yield from ((part["name"], asked) for asked in _unlisted(part, listed))


def _unlisted(kubelet: Mapping[str, Any], listed: Collection[str]) -> Iterator[_Asked]:
    """Its own module and Go's standard library, which bills left out until 2026-11."""
    go = _property(kubelet, "go")
    if KUBERNETES not in listed:
        version = kubelet["version"]
        yield ("Go", KUBERNETES, version) if version != UNKNOWN else (None, KUBERNETES, "")
    if go and STDLIB not in listed:
        version = go_buildinfo.stdlib_version(go)
        yield ("Go", STDLIB, version) if version else (None, f"{STDLIB} of {go}", "")


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


def look_up(name: str, out: Path, build: str, *, database: str, budget: str) -> VulnerabilityReport:
    """Look up a bill. name: its file, or the spec of a build below out.

    Raises SpecError and ProvenanceError.
    """
    found = given_database(database, budget)
    return find(_bill(name, out, build), found)


def given_database(database: str, budget: str = "") -> Database:
    """The database at a path, by default the environment's. Raises SpecError, also for an unknown budget."""
    if budget and budget not in BUDGETS:
        raise SpecError(f"unknown budget {budget!r}", hint=f"use one of: {' '.join(BUDGETS)}")
    path = Path(database) if database else database_path()
    if path is None:
        raise SpecError(
            "no database of known vulnerabilities is given", hint=f"add --database PATH, or set {VARIABLE}"
        )
    return osv.load(path)


def _bill(name: str, out: Path, build: str) -> Path:
    given = Path(name)
    if name.endswith(load.SUFFIX) or not ("/" in name or given.is_file() or given.suffix == ".json"):
        return build_folders.find_build(out, load.name_of(name), build) / sbom.FILE
    if not given.is_file():
        hint = "name a spec, or the file sbom.cdx.json of a build"
        raise SpecError(f"there is no bill of materials {given}", hint=hint)
    return given
