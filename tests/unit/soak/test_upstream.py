# SPDX-License-Identifier: Apache-2.0
"""Trials of `soak upstream`, with tests and programs of others as they were recorded."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from goldsmith.errors import ProvenanceError
from goldsmith.scan import osv
from tests.soak import upstream, upstream_go, upstream_heat, upstream_osv
from tests.soak.upstream_go import COSIGN
from tests.soak.upstream_reasons import NOT_RUN, REASONS, Difference

KNOWN = {"HookTest.test_other": Difference(reason="a path", shows="'/their/path'")}
REPORT = """\
<testsuites><testsuite name="pytest" tests="4">
<testcase classname="theirs.test_hook_script.HookScriptTest" name="test_hook" time="0.1"/>
<testcase classname="theirs.test_hook_script.HookScriptTest" name="test_hook_failed" time="0.1">
<failure message="MismatchError: 1 != 0">Traceback: last line</failure></testcase>
<testcase classname="theirs.test_hook_script.HookScriptTest" name="test_broken" time="0.1">
<error message="no fixtures">ImportError</error></testcase>
<testcase classname="theirs.test_hook_script.HookScriptTest" name="test_left_out" time="0.1">
<skipped message="not here">why</skipped></testcase>
</testsuite></testsuites>
"""
VERSION = """\
/tmp/cosign: go1.26.8
\tpath\tgithub.com/sigstore/cosign/v3/cmd/cosign
\tmod\tgithub.com/sigstore/cosign/v3\tv3.1.3\th1:001JQRI/PJ/5T+g/kJ1KTvKFbb322+fomc+pHDZ/6sg=
\tdep\tcel.dev/expr\tv0.25.2\th1:abc=
"""


def test_a_report_says_of_each_test_how_it_failed(tmp_path: Path) -> None:
    (tmp_path / "junit.xml").write_text(REPORT)

    found = upstream_heat.results(tmp_path / "junit.xml")

    assert found == {
        "HookScriptTest.test_hook": "",
        "HookScriptTest.test_hook_failed": "MismatchError: 1 != 0\nTraceback: last line",
        "HookScriptTest.test_broken": "no fixtures\nImportError",
        "HookScriptTest.test_left_out": "not here\nwhy",
    }


def test_what_fails_as_listed_is_no_problem() -> None:
    answer = upstream_heat.judged({"HookTest.test_a": "", "HookTest.test_other": "no '/their/path'"}, KNOWN)

    assert answer == {
        "passed": ["HookTest.test_a"], "failed": {"HookTest.test_other": "a path"}, "problems": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ({"HookTest.test_other": ""}, "HookTest.test_other passed, but is listed: a path"),
        ({"HookTest.test_other": "boom"}, "HookTest.test_other failed otherwise than listed"),
        (
            {"HookTest.test_other": "'/their/path'", "HookTest.test_new": "boom"},
            "HookTest.test_new failed: boom",
        ),
        ({"HookTest.test_new": ""}, "HookTest.test_other is listed, but is no test"),
        ({}, "there was no test"),
    ],
)
def test_whatever_is_not_as_listed_is_a_problem(found: Mapping[str, str], problem: str) -> None:
    assert [each for each in upstream_heat.judged(found, KNOWN)["problems"] if each.startswith(problem)]


def test_each_file_of_their_tests_is_run_or_listed() -> None:
    known = {suite.tests for suite in upstream_heat.SUITES.values()} | NOT_RUN.keys()

    assert upstream_heat.unknown(known) == []
    assert upstream_heat.unknown({*known, "test_hook_new.py"} - {"test_hook_salt.py"}) == [
        "test_hook_new.py: neither run nor listed, or not there",
        "test_hook_salt.py: neither run nor listed, or not there",
    ]


def test_each_reason_belongs_to_a_trial_and_says_something() -> None:
    assert REASONS.keys() <= upstream_heat.SUITES.keys()
    listed = [each for table in REASONS.values() for each in table.values()]
    assert len(listed) > 20
    assert all(each.reason and len(each.shows) > 10 for each in listed)
    assert not {suite.tests for suite in upstream_heat.SUITES.values()} & NOT_RUN.keys()


def test_a_program_has_to_be_the_pinned_module() -> None:
    upstream_go.require_pinned(COSIGN, VERSION)

    for other in (VERSION.replace("v3.1.3", "v3.1.4"), VERSION.replace("001J", "002J"), "go1.26.8\n"):
        with pytest.raises(ProvenanceError, match="cosign was compiled from"):
            upstream_go.require_pinned(COSIGN, other)


def report(*ids: str) -> str:
    """As osv-scanner 2 prints what it found; packages without vulnerabilities can be there too."""
    package = {"name": "bash", "version": "5.2.37-2", "ecosystem": "Debian:13"}
    packages = [{"package": package, "vulnerabilities": [{"id": each}], "groups": []} for each in ids]
    source = {"path": "/tmp/bill.cdx.json", "type": "sbom"}
    return json.dumps({"results": [{"source": source, "packages": [*packages, {"package": package}]}]})


@pytest.mark.parametrize(
    ("ids", "problems"),
    [
        (list(upstream_osv.EXPECTED), []),
        ([*upstream_osv.EXPECTED, "GO-FIXED"], ["found, but it does not apply: GO-FIXED"]),
        (list(upstream_osv.EXPECTED)[1:], ["not found: DSA-BINARY, by the name of a package"]),
    ],
)
def test_every_planted_record_has_to_be_found_and_no_other(ids: list[str], problems: list[str]) -> None:
    assert upstream_osv.judged(upstream_osv.found(report(*ids)))["problems"] == problems


def test_osv_scanner_gets_a_bill_and_a_database(tmp_path: Path, fake: Callable[..., Path]) -> None:
    answer = tmp_path / "answer.json"
    answer.write_text(report(*upstream_osv.EXPECTED))
    scanner = 'while [ "$1" != --output-file ]; do shift; done\n' + f'cp "{answer}" "$2"\nexit 1'
    fake("osv-scanner", scanner)
    trials = upstream.Upstream(tmp_path / "place", {"osv-scanner": Path("osv-scanner")})

    trial = trials.one(upstream.TRIALS.index("osv-scanner"), random.Random(1))  # noqa: S311

    assert (trial["trial"], trial["problems"]) == ("osv-scanner", [])
    assert len(trial["passed"]) == len(upstream_osv.EXPECTED)
    assert not (tmp_path / "place/osv-scanner").exists()


def test_the_planted_records_apply_to_the_bill_by_our_own_look_up(tmp_path: Path) -> None:
    upstream_osv.database(tmp_path / "database")
    records = osv.load(tmp_path / "database")
    listed: list[dict[str, Any]] = json.loads(upstream_osv.bill(tmp_path / "root"))["components"]
    parts = [*listed, *(inner for part in listed for inner in part.get("components", ()))]

    hits = {
        match.id
        for part in parts
        for ecosystem in ("Debian:13", "Go")
        for match in records.matches(ecosystem, part["name"], part["version"].removeprefix("v"))
    }

    assert hits == upstream_osv.EXPECTED.keys()


def test_a_trial_that_cannot_run_is_a_problem_and_leaves_its_files(tmp_path: Path) -> None:
    trials = upstream.Upstream(tmp_path / "place", {"osv-scanner": Path("/no/such/program")})

    trial = trials.one(upstream.TRIALS.index("osv-scanner"), random.Random(1))  # noqa: S311

    assert "program" in trial["problems"][0]
    assert (tmp_path / "place/osv-scanner/bill.cdx.json").exists()


def test_trials_name_what_they_pin(tmp_path: Path) -> None:
    facts = upstream.Upstream(tmp_path).prepare({})

    assert facts["heat_agents"].startswith("heat-agents==13.0.0 --hash=sha256:")
    assert facts["programs"]["cosign"] == "github.com/sigstore/cosign/v3 v3.1.3 " + COSIGN.sum
    assert upstream.TRIALS[-2:] == ("cosign", "osv-scanner")
