# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.publish import publisher
from goldsmith.publish.operations import asking
from tests.support.fake_glance import FakeGlance
from tests.support.release_site import SPEC, Site


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The spec mine, of which nothing is built yet, and two clouds."""
    tmp_path.mkdir(exist_ok=True)
    made = Site(root=tmp_path, clouds={name: FakeGlance(name) for name in ("prod", "edge")})
    made.spec.write_text(SPEC)
    for module in (publisher, asking):
        monkeypatch.setattr(module, "Glance", made.glance)
    return made
