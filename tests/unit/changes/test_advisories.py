# SPDX-License-Identifier: Apache-2.0
"""Advisories by which two builds differ."""

from __future__ import annotations

from goldsmith.changes import advisories
from goldsmith.scan.vulnerabilities import VulnerabilityFinding, VulnerabilityReport


def report(*found: tuple[str, str, str]) -> VulnerabilityReport:
    """id, where, version of glibc."""
    findings = tuple(
        VulnerabilityFinding(id=id_, level="high", where=where, package="glibc", version=version, fixed=None)
        for id_, where, version in found
    )
    return VulnerabilityReport(findings=findings, looked_up=9, unknown=("host: x",), records=5)


def test_an_advisory_is_closed_only_where_nothing_of_the_image_matches_it() -> None:
    old = report(("D-1", "host", "1"), ("D-1", "a/web:1", "1"), ("D-2", "host", "1"), ("D-2", "a/web:1", "1"))
    new = report(("D-1", "a/web:2", "1"), ("D-3", "host", "2"))

    found = advisories.between(old, new)

    assert [(each.id, each.where) for each in found.closed] == [("D-2", "host"), ("D-2", "a/web:1")]
    assert [(each.id, each.where) for each in found.opened] == [("D-3", "host")]
    assert found.remaining == 1
    assert found.lines() == [
        "advisories closed (1)",
        "  - high D-2  host: glibc 1",
        "  - high D-2  a/web:1: glibc 1",
        "advisories opened (1)",
        "  + high D-3  host: glibc 2",
        "advisories of both builds: 1; components not looked up: 1",
    ]
