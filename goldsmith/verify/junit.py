# SPDX-License-Identifier: Apache-2.0
"""Merge JUnit XML reports, and count their results."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_OURS = "  | "  # at the beginning of a message's further lines
_WIDTH = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Number of tests in a report; failed and skipped ones as 'suite: test: message'."""

    tests: int = 0
    failed: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


def merge(reports: Mapping[str, Path], target: Path) -> Counts:
    """Write one report from several; keys become names of the suites. Missing reports count as empty."""
    merged = ET.Element("testsuites")
    for name, report in reports.items():
        for suite in _suites(report):
            suite.set("name", name)
            merged.append(suite)
    ET.ElementTree(merged).write(target, encoding="utf-8", xml_declaration=True)
    return count(target)


def count(report: Path) -> Counts:
    """Count the results of a report."""
    tests, failed, skipped = 0, [], []
    for suite in _suites(report):
        for case in suite.iter("testcase"):
            tests += 1
            label = f"{suite.get('name')}: {case.get('name')}"
            if (bad := _first(case, ("failure", "error"))) is not None:
                failed.append(f"{label}: {_message(bad)}")
            elif (skip := case.find("skipped")) is not None:
                skipped.append(f"{label}: {_first_line(skip)}")
    return Counts(tests=tests, failed=tuple(failed), skipped=tuple(skipped))


def properties(report: Path) -> dict[str, str]:
    """The properties that the suites of a report recorded."""
    found = (prop for suite in _suites(report) for prop in suite.iter("property"))
    return {str(prop.get("name")): str(prop.get("value")) for prop in found}


def _suites(report: Path) -> list[ET.Element]:
    try:
        return list(ET.parse(report).getroot().iter("testsuite"))  # noqa: S314 - written by our pytest
    except (OSError, ET.ParseError):
        return []


def _first(case: ET.Element, tags: Sequence[str]) -> ET.Element | None:
    return next((found for tag in tags if (found := case.find(tag)) is not None), None)


def _message(element: ET.Element) -> str:
    """The first line, and those below it that our suites have written for people."""
    lines = _text(element).splitlines()
    more = itertools.takewhile(lambda line: line.startswith(_OURS), lines[1:])
    return "\n".join([_first_line(element), *(line[:_WIDTH] for line in more)])


def _first_line(element: ET.Element) -> str:
    return _text(element).split("\n", 1)[0][:_WIDTH]


def _text(element: ET.Element) -> str:
    return (element.get("message") or element.text or "").strip()
