# SPDX-License-Identifier: Apache-2.0
"""The templates of `soak heat-templates` are there, and take what the trials give them."""

from __future__ import annotations

import pytest
import yaml

from tests.soak import heat_templates


def test_each_template_has_a_case() -> None:
    assert len(heat_templates.CASES) == 4
    assert {f"{case.template}.yaml" for case in heat_templates.CASES} == {
        path.name for path in heat_templates.FOLDER.iterdir()
    }


@pytest.mark.parametrize("case", heat_templates.CASES, ids=lambda case: str(case.template))
def test_each_takes_the_parameters_of_its_trial(case: heat_templates.Case) -> None:
    template = yaml.safe_load((heat_templates.FOLDER / f"{case.template}.yaml").read_text())
    parameters = set(template.get("parameters") or template["Parameters"])
    assert parameters == {"image", "flavor", "network"} | ({"greeting"} if case.greets else set())
    assert {"server", "said"} <= set(template.get("outputs") or template["Outputs"])
