# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from goldsmith.devcloud import services
from goldsmith.errors import SpecError


def test_a_choice_of_services_is_completed_by_what_these_need() -> None:
    assert services.chosen([]) == ("keystone", "placement", "glance", "neutron", "heat", "nova")
    assert services.chosen(["heat", "swift"]) == ("keystone", "heat", "swift")
    assert services.chosen(["nova"]) == ("keystone", "placement", "glance", "neutron", "nova")
    with pytest.raises(SpecError, match="no service 'cinder'"):
        services.chosen(["cinder"])
