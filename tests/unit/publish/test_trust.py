# SPDX-License-Identifier: Apache-2.0
"""What publishing is made of besides the plan: builds, records, journal, properties, bodies, notes."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.core import paths
from goldsmith.errors import ProvenanceError, SpecError
from goldsmith.publish import trust
from goldsmith.spec.model import PublishSpec


def test_the_command_line_says_before_the_spec_who_has_to_sign(tmp_path: Path) -> None:
    key = tmp_path / "key"
    by_spec, accepted = PublishSpec(signed_by="keys/a.pub"), PublishSpec(accept_unsigned="a lab")

    assert trust.choose(accepted, key, "") == trust.Trust(signed_by=key)
    assert trust.choose(by_spec, None, "now") == trust.Trust(accepted="now")
    assert trust.choose(by_spec, None, "").signed_by == paths.project_root() / "keys/a.pub"
    assert trust.choose(accepted, None, "") == trust.Trust(accepted="a lab")


@pytest.mark.parametrize(
    ("rules", "accepted", "why"),
    [
        (PublishSpec(), "", "nothing says whose signature"),
        (PublishSpec(signed_by="a", accept_unsigned="b"), "", "signed by somebody, or accepted"),
    ],
)
def test_a_release_that_nobody_answers_for_is_refused(rules: PublishSpec, accepted: str, why: str) -> None:
    with pytest.raises(SpecError, match=why):
        trust.choose(rules, None, accepted)


def test_a_build_that_is_not_signed_is_not_published(
    build: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ProvenanceError, match=r"may not be published[\s\S]*cannot read the public key") as e:
        trust.Trust(signed_by=tmp_path / "nobody.pub").require(build)

    assert f"scripts/inv sign mine --build {build.name}" in str(e.value.hint)
    trust.Trust(accepted="a trial").require(build)
    assert "without a signature: a trial" in capsys.readouterr().err
