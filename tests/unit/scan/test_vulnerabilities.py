# SPDX-License-Identifier: Apache-2.0
"""Look-ups of known vulnerabilities: versions and ranges, levels, budgets."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.output.json import JsonV1Dot6

from goldsmith.core import documents
from goldsmith.errors import ProvenanceError, SpecError
from goldsmith.scan import components, osv, vulnerabilities
from goldsmith.scan.contents import Container
from goldsmith.scan.go_buildinfo import GoBuild, GoModule
from goldsmith.scan.package_databases import Package
from goldsmith.scan.vulnerabilities import VulnerabilityFinding, VulnerabilityReport

DEBIAN, GO = "Debian:13", "Go"
CRITICAL = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"

WriteRecord = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> WriteRecord:
    """Put a record in a folder; the folder."""
    folder = tmp_path / "osv"
    folder.mkdir()

    def write(id_: str, ecosystem: str, name: str, events: list[dict[str, str]], **more: Any) -> Path:
        kind = "SEMVER" if ecosystem == GO else "ECOSYSTEM"
        affected = {
            "package": {"ecosystem": ecosystem, "name": name}, "ranges": [{"type": kind, "events": events}],
            **more.pop("affected", {}),
        }  # fmt: skip
        (folder / f"{id_}.json").write_text(json.dumps({"id": id_, "affected": [affected], **more}))
        return folder

    return write


def ids(folder: Path, ecosystem: str, name: str, version: str) -> list[tuple[str, str | None]]:
    return [(match.id, match.fixed) for match in osv.load(folder).matches(ecosystem, name, version)]


@pytest.mark.parametrize(
    ("events", "version", "expected"),
    [
        ([{"introduced": "0"}, {"fixed": "2.41-12"}], "2.41-11", [("D-1", "2.41-12")]),
        ([{"introduced": "0"}, {"fixed": "2.41-12"}], "2.41-12", []),
        ([{"introduced": "0"}, {"fixed": "2.41-12"}], "2.41-12~deb13u1", [("D-1", "2.41-12")]),
        ([{"introduced": "0"}, {"fixed": "2.9"}], "2.10", []),
        ([{"introduced": "0"}, {"fixed": "2.9"}], "1:2.1", []),
        ([{"introduced": "0"}], "99", [("D-1", None)]),
        ([{"introduced": "2"}], "1", []),
        ([{"introduced": "2"}, {"last_affected": "3"}], "3", [("D-1", None)]),
        ([{"introduced": "2"}, {"last_affected": "3"}], "3.1", []),
        ([{"fixed": "2"}, {"introduced": "0"}], "1", [("D-1", "2")]),
        ([{"introduced": "0"}, {"fixed": "1"}, {"introduced": "3"}, {"fixed": "4"}], "2", []),
        ([{"introduced": "0"}, {"fixed": "1"}, {"introduced": "3"}, {"fixed": "4"}], "3", [("D-1", "4")]),
    ],
)
def test_a_version_of_debian_is_in_a_range_or_not(
    write: WriteRecord, events: list[dict[str, str]], version: str, expected: list[tuple[str, str | None]]
) -> None:
    assert ids(write("D-1", DEBIAN, "glibc", events), DEBIAN, "glibc", version) == expected


@pytest.mark.parametrize(
    ("version", "hit"),
    [
        ("0.35.0", True), ("0.35.4", False), ("0.35.4-rc.1", True), ("0.35.10", False),
        ("0.0.0-20240101000000-abcdefabcdef", True),
    ],
)  # fmt: skip
def test_a_go_module_is_in_a_range_or_not(write: WriteRecord, version: str, hit: bool) -> None:
    folder = write("GO-1", GO, "k8s.io/api", [{"introduced": "0"}, {"fixed": "0.35.4"}])

    assert bool(ids(folder, GO, "k8s.io/api", version)) is hit


def test_another_release_and_another_package_are_not_affected(write: WriteRecord) -> None:
    folder = write("D-1", DEBIAN, "glibc", [{"introduced": "0"}])

    assert ids(folder, "Debian:12", "glibc", "1") == []
    assert ids(folder, DEBIAN, "glib", "1") == []


def test_a_version_that_is_listed_is_affected(write: WriteRecord) -> None:
    folder = write("D-1", DEBIAN, "glibc", [{"introduced": "5"}], affected={"versions": ["1.0"]})

    assert ids(folder, DEBIAN, "glibc", "1.0") == [("D-1", None)]


def test_a_withdrawn_record_does_not_count(write: WriteRecord) -> None:
    write("D-1", DEBIAN, "glibc", [{"introduced": "0"}], withdrawn="2026-01-01T00:00:00Z")
    folder = write("D-2", DEBIAN, "bash", [{"introduced": "0"}])

    assert ids(folder, DEBIAN, "glibc", "1") == []
    assert osv.load(folder).records == 1


@pytest.mark.parametrize(
    ("more", "level"),
    [
        ({"severity": [{"type": "CVSS_V3", "score": CRITICAL}]}, "critical"),
        ({"severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/nonsense"}]}, "unknown"),
        ({"database_specific": {"severity": "MODERATE"}}, "medium"),
        ({"affected": {"ecosystem_specific": {"urgency": "high**"}}}, "high"),
        ({"affected": {"ecosystem_specific": {"urgency": "not yet assigned"}}}, "unknown"),
        ({"database_specific": {"severity": "LOW"}, "severity": [{"score": CRITICAL}]}, "critical"),
        ({}, "unknown"),
    ],
)
def test_the_highest_level_that_is_given_counts(
    write: WriteRecord, more: Mapping[str, Any], level: str
) -> None:
    folder = write("D-1", DEBIAN, "glibc", [{"introduced": "0"}], **more)

    (match,) = osv.load(folder).matches(DEBIAN, "glibc", "1")

    assert match.level == level


def test_an_archive_is_a_database_too(write: WriteRecord, tmp_path: Path) -> None:
    folder = write("D-1", DEBIAN, "glibc", [{"introduced": "0"}])
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(folder / "D-1.json", "D-1.json")

    assert ids(tmp_path / "all.zip", DEBIAN, "glibc", "1") == [("D-1", None)]


@pytest.mark.parametrize(
    ("content", "why"), [(None, "holds no record"), ("{", "cannot read"), ("[1]", "cannot read")]
)
def test_a_file_that_is_no_database_is_an_error(tmp_path: Path, content: str | None, why: str) -> None:
    folder = tmp_path / "osv"
    folder.mkdir()
    if content is not None:
        (folder / "x.json").write_text(content)

    with pytest.raises(ProvenanceError, match=why):
        osv.load(folder)
    with pytest.raises(SpecError, match="there is no vulnerability database"):
        osv.load(tmp_path / "none.zip")


def component(purl: str, name: str, version: str, **more: Any) -> dict[str, Any]:
    properties = [{"name": f"goldsmith:{key}", "value": value} for key, value in more.items()]
    return {
        "type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl,
        "properties": properties,
    }  # fmt: skip


@pytest.fixture
def bill(tmp_path: Path) -> Path:
    path = tmp_path / "sbom.cdx.json"
    libc = component(
        "pkg:deb/debian/libc6@2.41?arch=amd64&distro=debian-13", "libc6", "2.41", source="glibc 2.41"
    )
    musl = component("pkg:apk/alpine/musl@1?arch=x86_64&distro=alpine-3.20", "musl", "1")
    api = component("pkg:golang/k8s.io/api@v0.35.0", "k8s.io/api", "v0.35.0")
    parts = [
        libc,
        {
            "type": "container", "bom-ref": "one", "name": "a.b/app:1", "version": "sha256:1",
            "components": [libc, musl],
        },
        {
            "type": "container", "bom-ref": "two", "name": "a.b/zstd:1", "version": "sha256:2",
            "properties": [{"name": "goldsmith:unread", "value": "the layer is compressed"}],
        },
        {
            "type": "application", "bom-ref": "kubelet", "name": "kubelet", "version": "1.35.4",
            "components": [api],
            "properties": [{"name": "goldsmith:go", "value": "go1.26.8"}],
        },
    ]  # fmt: skip
    path.write_text(json.dumps({"bomFormat": "CycloneDX", "components": parts}))
    return path


def test_each_part_of_a_bill_is_looked_up_by_its_source(bill: Path, write: WriteRecord) -> None:
    write("D-1", DEBIAN, "glibc", [{"introduced": "0"}, {"fixed": "2.42"}])
    write("GO-1", GO, "k8s.io/api", [{"introduced": "0"}], severity=[{"score": CRITICAL}])
    write("GO-3", GO, "k8s.io/kubernetes", [{"introduced": "1.35.0"}, {"fixed": "1.35.5"}])
    folder = write("GO-2", GO, "stdlib", [{"introduced": "1.26.0"}, {"fixed": "1.26.9"}])

    report = vulnerabilities.find(bill, osv.load(folder))

    assert [(f.id, f.where, f.package, f.version, f.fixed) for f in report.findings] == [
        ("GO-1", "kubelet", "k8s.io/api", "0.35.0", None),
        ("D-1", "a.b/app:1", "glibc", "2.41", "2.42"),
        ("D-1", "host", "glibc", "2.41", "2.42"),
        ("GO-2", "kubelet", "stdlib", "1.26.8", "1.26.9"),
        ("GO-3", "kubelet", "k8s.io/kubernetes", "1.35.4", "1.35.5"),
    ]
    assert (report.looked_up, report.records, report.blind) == (5, 4, ())
    assert [line.partition("?")[0] for line in report.unknown] == [
        "a.b/app:1: pkg:apk/alpine/musl@1", "a.b/zstd:1: the layer is compressed",
    ]  # fmt: skip
    text = report.as_text()
    assert "1 critical, 0 high" in text
    assert "not looked up: 2, such as a.b/app:1: pkg:apk/alpine/musl" in text
    assert "host: glibc 2.41, fixed in 2.42" in text


def test_a_bill_that_lists_kubernetes_and_go_is_looked_up_once(tmp_path: Path, write: WriteRecord) -> None:
    made = GoBuild(
        go="go1.26.8", modules=(), main=GoModule(path="k8s.io/kubernetes", version="v1.35.4", h1="")
    )
    bom = Bom(components=components.kubelet("a" * 64, made, "1.35.4").listed)
    (tmp_path / "new.cdx.json").write_text(JsonV1Dot6(bom).output_as_string())
    write("GO-1", GO, "k8s.io/kubernetes", [{"introduced": "1.35.0"}, {"fixed": "1.35.5"}])
    folder = write("GO-2", GO, "stdlib", [{"introduced": "0"}])

    report = vulnerabilities.find(tmp_path / "new.cdx.json", osv.load(folder))

    assert [(f.id, f.where, f.version) for f in report.findings] == [
        ("GO-1", "kubelet", "1.35.4"), ("GO-2", "kubelet", "1.26.8")
    ]  # fmt: skip
    assert (report.looked_up, report.unknown) == (2, ())


def test_a_package_is_looked_up_by_its_source_once_in_the_host_and_once_in_an_image(
    tmp_path: Path, write: WriteRecord
) -> None:
    found = [Package(family="deb", name="libc6", version="2.41+b1", arch="amd64", source="glibc 2.41")]
    debian = {"ID": "debian", "VERSION_ID": "13"}
    image = Container(digest=f"sha256:{'d' * 64}", os=debian, layers=(), packages=tuple(found))
    parts = [
        components.packages(found, "debian-13", "host"),
        components.operating_system(debian, found, "system"),
        components.container(image, {image.digest: "a.b/app:1"}),
    ]
    bom = Bom(components=[each for part in parts for each in part.listed])
    (tmp_path / "new.cdx.json").write_text(JsonV1Dot6(bom).output_as_string())
    folder = write("D-1", DEBIAN, "glibc", [{"introduced": "0"}])

    report = vulnerabilities.find(tmp_path / "new.cdx.json", osv.load(folder))

    assert [(f.where, f.package, f.version) for f in report.findings] == [
        ("a.b/app:1", "glibc", "2.41"), ("host", "glibc", "2.41")
    ]  # fmt: skip
    assert (report.looked_up, report.unknown) == (2, ())


def test_a_kubelet_of_an_unreleased_go_and_version_is_not_looked_up(
    tmp_path: Path, write: WriteRecord
) -> None:
    bom = Bom(
        components=components.kubelet("a" * 64, GoBuild(go="devel go1.27-a", modules=()), "unknown").listed
    )
    (tmp_path / "new.cdx.json").write_text(JsonV1Dot6(bom).output_as_string())
    write("GO-1", GO, "k8s.io/kubernetes", [{"introduced": "0"}])
    folder = write("GO-2", GO, "stdlib", [{"introduced": "0"}])

    report = vulnerabilities.find(tmp_path / "new.cdx.json", osv.load(folder))

    assert report.findings == ()
    assert report.unknown == ("kubelet: k8s.io/kubernetes", "kubelet: stdlib of devel go1.27-a")


def test_an_ecosystem_without_any_record_counts_as_not_looked_up(bill: Path, write: WriteRecord) -> None:
    folder = write("GO-1", GO, "k8s.io/api", [{"introduced": "0"}])

    report = vulnerabilities.find(bill, osv.load(folder))

    assert report.blind == (DEBIAN,)
    assert "host: glibc" in report.unknown
    assert report.fails("critical")
    assert not report.fails(None)
    with pytest.raises(ProvenanceError, match="has no record of Debian:13"):
        vulnerabilities.require(report, "critical")


def report_of(*findings: tuple[str, str | None]) -> VulnerabilityReport:
    return VulnerabilityReport(
        findings=tuple(
            VulnerabilityFinding(id="x", level=level, where="host", package="p", version="1", fixed=fixed)
            for level, fixed in findings
        ),
        looked_up=1, unknown=(), records=1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("budget", "over"),
    [
        (None, 0), ("critical", 2), ("critical-fixable", 1), ("high", 3), ("high-fixable", 2), ("low", 3),
    ],
)  # fmt: skip
def test_a_budget_counts_its_level_and_those_above(budget: str | None, over: int) -> None:
    report = report_of(("critical", "2"), ("critical", None), ("high", "2"), ("unknown", "2"))

    assert len(report.over(budget)) == over
    if over:
        with pytest.raises(ProvenanceError, match=f"{over} known vulnerabilities are over the budget"):
            vulnerabilities.require(report, budget)
    else:
        vulnerabilities.require(report, budget)


def test_a_budget_without_a_database_ends_the_build_before_it_begins(
    monkeypatch: pytest.MonkeyPatch, write: WriteRecord
) -> None:
    monkeypatch.delenv(vulnerabilities.VARIABLE, raising=False)

    assert vulnerabilities.needed(None) is None
    with pytest.raises(ProvenanceError, match="there is no database"):
        vulnerabilities.needed("critical")
    monkeypatch.setenv(vulnerabilities.VARIABLE, str(write("D-1", DEBIAN, "glibc", [{"introduced": "0"}])))
    database = vulnerabilities.needed("critical")
    assert database is not None
    assert database.records == 1


def test_a_build_without_a_database_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vulnerabilities.of_build(tmp_path, None) is None
    assert "were not looked up" in capsys.readouterr().err


def test_the_report_of_a_build_lies_beside_its_bill(bill: Path, write: WriteRecord) -> None:
    folder = write("D-1", DEBIAN, "glibc", [{"introduced": "0"}])

    report = vulnerabilities.of_build(bill.parent, osv.load(folder))

    assert report is not None
    assert len(report.findings) == 2
    assert VulnerabilityReport.read(bill.parent / vulnerabilities.FILE) == report
    jsonschema.validate(report.as_dict(), documents.json_schema(VulnerabilityReport))


def test_a_report_from_before_blind_ecosystems_were_listed_is_read() -> None:
    kept = {
        "schema": "goldsmith.vulnerabilities", "version": 1, "looked_up": 3, "unknown": [], "records": 9,
        "findings": [
            {"id": "D-1", "level": "high", "where": "host", "package": "glibc", "version": "2.41",
             "fixed": None}
        ],
    }  # fmt: skip

    report = VulnerabilityReport.parse(kept, "vulnerabilities.json")

    assert (report.findings[0].id, report.blind) == ("D-1", ())


def test_the_task_takes_a_file_and_a_database(
    bill: Path, write: WriteRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(vulnerabilities.VARIABLE, raising=False)
    folder = write("D-1", DEBIAN, "glibc", [{"introduced": "0"}])

    assert (
        len(vulnerabilities.look_up(str(bill), bill, "", database=str(folder), budget="high").findings) == 2
    )
    with pytest.raises(SpecError, match="unknown budget 'severe'"):
        vulnerabilities.look_up(str(bill), bill, "", database=str(folder), budget="severe")
    with pytest.raises(SpecError, match="no database of known vulnerabilities is given"):
        vulnerabilities.look_up(str(bill), bill, "", database="", budget="")
