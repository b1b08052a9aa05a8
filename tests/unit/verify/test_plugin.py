# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import re
from typing import Any

import pytest

from goldsmith.core import paths
from goldsmith.verify import plugin, started_tests
from goldsmith.verify.pytest_runner import SUITES
from goldsmith.verify.started_tests import StartedTest

pytest_plugins = ("pytester",)

TESTS = """
import pytest

from goldsmith.core import paths
from goldsmith.verify import plugin

def test_plain(expect): assert expect["phase"] == "booted"

@pytest.mark.needs("kubelet", "pods")
def test_pods(): pass

@pytest.mark.needs("systemd")
def test_systemd(): pass
"""
BARE: dict[str, Any] = {
    "schema": "goldsmith.expectations", "version": 1, "phase": "booted", "systemd": False, "build": None,
    "images": [], "manifest": None, "image_sha256": "1", "user": "root", "hostname": "golden", "nics": [],
    "grow_mib": 0, "slowness": 1.0,
}  # fmt: skip
KUBELET = {"schema": "goldsmith.build", "version": 1, "kubelet": {"version": "1.35.4"}}


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # they take long to import
    pytester.makepyfile(test_it=TESTS)
    return pytester


def run(suite: pytest.Pytester, **expect: Any) -> pytest.RunResult:
    """Run the suite with these expectations."""
    path = suite.path / "expect-booted.json"
    path.write_text(json.dumps({**BARE, **expect}))
    return suite.runpytest_inprocess(
        "-v", "-p", "goldsmith.verify.plugin", "-p", "no:cacheprovider", "-c", os.devnull,
        "--rootdir", suite.path, "--confcutdir", suite.path, "--expect", path, suite.path,
    )  # fmt: skip


def notes(suite: pytest.Pytester) -> list[str]:
    return list(json.loads((suite.path / "not-applicable.json").read_text()))


def test_features_that_an_image_does_not_claim_are_left_out_and_listed(
    suite: pytest.Pytester,
) -> None:
    build = {**KUBELET, "verify": {"pods": []}}

    run(suite, build=build).assert_outcomes(passed=1, deselected=2)

    assert notes(suite) == [
        "booted: test_pods: the image has no pods",
        "booted: test_systemd: the image has no systemd",
    ]


def test_features_that_it_claims_are_tested(suite: pytest.Pytester) -> None:
    build = {**KUBELET, "verify": {"pods": [{}]}}

    run(suite, build=build, systemd=True).assert_outcomes(passed=3)

    assert not (suite.path / "not-applicable.json").exists()


def test_what_a_reboot_cannot_change_is_not_asked_again(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_it="""
        import pytest

        def test_always(): pass

        @pytest.mark.once("it is a file")
        def test_once(): pass
        """
    )

    run(suite).assert_outcomes(passed=2)
    run(suite, phase="rebooted").assert_outcomes(passed=1)


def test_each_test_that_is_not_repeated_says_why() -> None:
    text = "".join(path.read_text() for path in sorted((SUITES / "booted").glob("test_*.py")))
    assert "mark.once(" in text
    assert not re.search(r'mark\.once(?!\(\s*"[^"]+ [^"]+")', text)


def test_the_output_says_which_of_the_tests_starts_before_it_ends(suite: pytest.Pytester) -> None:
    suite.makepyfile(test_it=TESTS, test_last="def test_fails(): print('test 9 of 9: no'); assert False")

    ran = run(suite, build={**KUBELET, "verify": {"pods": []}})

    assert [each for line in ran.outlines if (each := started_tests.parse(line))] == [
        StartedTest(number=1, total=2, test="test_it.py::test_plain"),
        StartedTest(number=2, total=2, test="test_last.py::test_fails"),
        StartedTest(number=9, total=9, test="no"),  # what a test prints is not told apart
    ]
    first = ran.outlines.index("test 1 of 2: test_it.py::test_plain")
    assert ran.outlines[first + 1].startswith("test_it.py::test_plain PASSED")


@pytest.mark.parametrize(
    ("pods", "outcome"),
    [
        ([{"spec": {"hostNetwork": True}}], {"passed": 1}),
        ([{"spec": {}}, {}], {"passed": 0, "deselected": 1}),
    ],
)
def test_a_pod_in_the_host_network_is_a_feature(
    suite: pytest.Pytester, pods: list[Any], outcome: dict[str, int]
) -> None:
    (suite.path / "test_it.py").write_text("""
import pytest

@pytest.mark.needs("host-networked-pods")
def test_in_the_host_network(): pass
""")

    run(suite, build={**KUBELET, "verify": {"pods": pods}}).assert_outcomes(**outcome)


def test_notes_of_an_earlier_phase_stay_even_if_the_file_belongs_to_root(suite: pytest.Pytester) -> None:
    earlier = suite.path / "not-applicable.json"
    earlier.write_text('["sealed: test_x: the image has no manifest"]')
    inode = earlier.stat().st_ino

    run(suite)

    assert notes(suite)[0] == "sealed: test_x: the image has no manifest"
    assert len(notes(suite)) == 3
    assert earlier.stat().st_ino != inode, "written in place, which only the owner of the file can do"


def test_a_phase_that_is_repeated_in_a_new_vm_is_noted_once(suite: pytest.Pytester) -> None:
    run(suite)
    run(suite)

    assert len(notes(suite)) == 2


def test_the_expectations_come_typed_too(suite: pytest.Pytester) -> None:
    (suite.path / "test_it.py").write_text("""
def test_typed(expected):
    assert (expected.phase, expected.info.kubelet.version) == ("booted", "1.35.4")
""")

    run(suite, build=KUBELET).assert_outcomes(passed=1)


def test_an_unknown_feature_is_an_error_and_not_a_lacking_one(suite: pytest.Pytester) -> None:
    (suite.path / "test_it.py").write_text(TESTS.replace('needs("systemd")', 'needs("sistemd")'))

    done = run(suite)

    assert done.ret not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}
    assert "sistemd" in done.stdout.str() + done.stderr.str()


def test_the_docs_list_every_feature() -> None:
    text = (paths.project_root() / "docs/write-a-spec.md").read_text()

    assert [name for name in plugin._FEATURES if f"`{name}`" not in text] == []
