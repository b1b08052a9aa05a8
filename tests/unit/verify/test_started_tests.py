# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from goldsmith.verify import started_tests
from goldsmith.verify.started_tests import StartedTest


@pytest.mark.parametrize(
    ("node_id", "shown"),
    [
        ("booted/test_pods.py::test_ready[ssh://guest]", "test_pods.py::test_ready[ssh://guest]"),
        ("../own suites/test_x.py::TestIt::test_y[a b: 1/2]", "test_x.py::TestIt::test_y[a b: 1/2]"),
        ("README.md", "README.md"),
    ],
)
def test_a_line_is_read_as_it_was_written(node_id: str, shown: str) -> None:
    line = started_tests.line(3, 41, node_id)

    assert started_tests.parse(line) == StartedTest(number=3, total=41, test=shown)


@pytest.mark.parametrize(
    "line",
    [
        "booted/test_pods.py::test_ready[ssh://guest] PASSED   [  7%]", "collected 41 items",
        "  test 3 of 41: quoted", "E   test 3 of 41: quoted", "test 3 of many: x", "",
    ],
)  # fmt: skip
def test_other_lines_of_pytest_name_no_test(line: str) -> None:
    assert started_tests.parse(line) is None
