# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import inspect

from tests.soak import heat_failure_cases
from tests.soak.heat_server import Server


def test_every_function_of_a_case_is_in_the_table_once() -> None:
    functions = [
        function
        for name, function in vars(heat_failure_cases).items()
        if inspect.isfunction(function)
        and not name.startswith("_")
        and list(inspect.get_annotations(function, eval_str=True).values())[:1] == [Server]
    ]
    assert len(functions) > 20

    assert [case.run for case in heat_failure_cases.CASES] == functions
    assert len({case.title for case in heat_failure_cases.CASES}) == len(functions)
