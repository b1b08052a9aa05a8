# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.verify import junit
from goldsmith.verify.junit import Counts

REPORT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" tests="4">
  <testcase name="test_good"/>
  <testcase name="test_bad"><failure message="assert 1 == 2&#10;more">trace</failure></testcase>
  <testcase name="test_broken"><error>fixture lost
 second line</error></testcase>
  <testcase name="test_left_out"><skipped message="no kubelet"/></testcase>
</testsuite></testsuites>
"""
GOOD = '<testsuites><testsuite name="pytest"><testcase name="test_good"/></testsuite></testsuites>'
EMPTY = '<testsuites><testsuite name="pytest" tests="0"/></testsuites>'


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.xml"
    path.write_text(REPORT)
    return path


def test_every_test_is_counted_and_failed_and_skipped_ones_are_listed(report: Path) -> None:
    assert junit.count(report) == Counts(
        tests=4,
        failed=("pytest: test_bad: assert 1 == 2", "pytest: test_broken: fixture lost"),
        skipped=("pytest: test_left_out: no kubelet",),
    )


def test_merged_suites_have_the_name_of_their_phase(tmp_path: Path, report: Path) -> None:
    good = tmp_path / "good.xml"
    good.write_text(GOOD)

    counts = junit.merge({"sealed": good, "booted": report}, tmp_path / "junit.xml")

    assert counts.tests == 5
    assert counts.failed[0] == "booted: test_bad: assert 1 == 2"
    assert counts == junit.count(tmp_path / "junit.xml")


def test_missing_empty_and_truncated_reports_have_no_test(tmp_path: Path) -> None:
    (tmp_path / "empty.xml").write_text(EMPTY)
    (tmp_path / "cut.xml").write_text(REPORT[:120])
    reports = {name: tmp_path / f"{name}.xml" for name in ("missing", "empty", "cut")}

    assert junit.merge(reports, tmp_path / "junit.xml") == Counts()


def test_lines_that_our_suites_wrote_for_people_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    path.write_text(REPORT.replace("2&#10;more", "pod web&#10;  | last lines&#10;  | boom&#10;assert False"))

    assert junit.count(path).failed[0] == "pytest: test_bad: assert 1 == pod web\n  | last lines\n  | boom"


def test_a_long_message_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    path.write_text(REPORT.replace("assert 1 == 2", "x" * 1000))

    assert junit.count(path).failed[0] == "pytest: test_bad: " + "x" * 300
