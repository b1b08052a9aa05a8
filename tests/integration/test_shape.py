# SPDX-License-Identifier: Apache-2.0
"""A spec of a shape that none is shipped with: two pods in networks of their own, a host port, no agent.

Its first boot is tested; `invoke soak shapes` tests eight such specs whole.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.soak import shapes
from tests.support.inv import inv

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def verification(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    (spec,) = (path for path in shapes.SPECS if path.name.startswith("no-agent."))
    answer = inv("build-image", str(spec), "--quick", out=tmp_path_factory.mktemp("shape"))
    manifest: dict[str, Any] = answer["manifest"]
    return dict(manifest["verification"])


def test_the_suites_judge_it(verification: dict[str, Any]) -> None:
    assert (verification["result"], verification["failed"], verification["skipped"]) == ("quick", [], [])
    assert verification["pods_ready_s"] > 0


def test_what_it_lacks_is_listed_and_nothing_else(verification: dict[str, Any]) -> None:
    reasons = {line.rpartition(": ")[2] for line in verification["not_applicable"]}

    assert "the image has no heat-agent" in reasons
    assert "the image has no host-networked-pods" in reasons
    assert not any("pods" in reason.split(", ") for reason in reasons)
