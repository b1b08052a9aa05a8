# SPDX-License-Identifier: Apache-2.0
"""osv-scanner finds planted records for the parts of one of our bills of materials."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldsmith.core import proc
from goldsmith.scan import sbom
from tests.support.go_program import H1, go_program

_FOUND = 1  # exit status for vulnerabilities
_STATUS = """\
Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.37-2

Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc (2.41-12)
Version: 2.41-12+b1
"""
_KUBELET = f"path\tk8s.io/kubernetes/cmd/kubelet\nmod\tkubelet\t(devel)\t\ndep\tk8s.io/api\tv0.35.4\t{H1}\n"
# ID -> ecosystem, name of the package, first version without it
RECORDS: Mapping[str, tuple[str, str, str]] = {
    "DSA-BINARY": ("Debian:13", "bash", "5.2.37-3"),
    "DSA-SOURCE": ("Debian:13", "glibc", "2.41-13"),
    "DSA-FIXED": ("Debian:13", "glibc", "2.40-1"),
    "DSA-OTHER": ("Debian:12", "bash", "99"),
    "GO-KUBERNETES": ("Go", "k8s.io/kubernetes", "1.35.5"),
    "GO-MODULE": ("Go", "k8s.io/api", "0.35.5"),
    "GO-STDLIB": ("Go", "stdlib", "1.26.9"),
    "GO-FIXED": ("Go", "stdlib", "1.26.1"),
}
EXPECTED: Mapping[str, str] = {
    "DSA-BINARY": "by the name of a package", "DSA-SOURCE": "by the name of its source",
    "GO-KUBERNETES": "of Kubernetes, by the kubelet", "GO-MODULE": "of a module in a program",
    "GO-STDLIB": "of Go's standard library",
}  # fmt: skip


def trial(scanner: Path, folder: Path) -> dict[str, Any]:
    """Scan a bill offline; which records were found, by EXPECTED."""
    database(folder / "database")
    (folder / "bill.cdx.json").write_text(bill(folder / "root"))
    report = folder / "found.json"
    argv: tuple[proc.Arg, ...] = (
        scanner, "scan", "source", "--offline", "--local-db-path", folder / "database", "--format", "json",
        "--output-file", report, "--lockfile", folder / "bill.cdx.json",
    )  # fmt: skip
    proc.run(argv, log_path=folder / "log", timeout_s=600, success_exit_status=(0, _FOUND))
    return judged(found(report.read_text()))


def judged(ids: set[str]) -> dict[str, Any]:
    """ids: of the records that were found."""
    missing = [f"not found: {name}, {what}" for name, what in EXPECTED.items() if name not in ids]
    wrong = [f"found, but it does not apply: {name}" for name in sorted(ids - EXPECTED.keys())]
    return {
        "passed": [what for name, what in EXPECTED.items() if name in ids], "problems": [*missing, *wrong]
    }  # fmt: skip


def found(report: str) -> set[str]:
    """IDs of the vulnerabilities in a report of osv-scanner's, as JSON."""
    return {
        str(each["id"])
        for result in json.loads(report)["results"]
        for package in result["packages"]
        for each in package.get("vulnerabilities", ())
    }


def bill(root: Path) -> str:
    """The bill of a small Debian with a kubelet."""
    build = {"name": "soak", "build_id": "20260102T030405Z-abcdefa", "kubelet": {"version": "1.35.4"}}
    files = {
        "var/lib/dpkg/status": _STATUS.encode(), "etc/os-release": b'ID=debian\nVERSION_ID="13"\n',
        "usr/lib/goldsmith/build.json": json.dumps(build).encode(),
        "usr/bin/kubelet": go_program(_KUBELET),
    }  # fmt: skip
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return sbom.make(root)


def database(folder: Path) -> None:
    """Write RECORDS as osv-scanner keeps its databases: osv-scalibr/ECOSYSTEM/all.zip."""
    for name, (ecosystem, package, fixed) in RECORDS.items():
        kind = "SEMVER" if ecosystem == "Go" else "ECOSYSTEM"
        ranges = [{"type": kind, "events": [{"introduced": "0"}, {"fixed": fixed}]}]
        record = {
            "id": name, "schema_version": "1.6.0", "modified": "2026-01-01T00:00:00Z",
            "affected": [{"package": {"ecosystem": ecosystem, "name": package}, "ranges": ranges}],
        }  # fmt: skip
        archive = folder / "osv-scalibr" / ecosystem.partition(":")[0] / "all.zip"
        archive.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(archive, "a") as packed:
            packed.writestr(f"{name}.json", json.dumps(record))
