# SPDX-License-Identifier: Apache-2.0
"""Signatures that a release needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.core import paths
from goldsmith.errors import ProvenanceError, SpecError
from goldsmith.publish import signature_policy
from goldsmith.spec.model import PublishSpec


def test_the_command_line_overrides_the_key_of_the_spec(tmp_path: Path) -> None:
    key = tmp_path / "key"
    by_spec, accepted = PublishSpec(signed_by="keys/a.pub"), PublishSpec(accept_unsigned="a lab")

    assert signature_policy.choose(accepted, key, "") == signature_policy.SignaturePolicy(signed_by=key)
    assert signature_policy.choose(by_spec, None, "now") == signature_policy.SignaturePolicy(accepted="now")
    assert signature_policy.choose(by_spec, None, "").signed_by == paths.project_root() / "keys/a.pub"
    assert signature_policy.choose(accepted, None, "") == signature_policy.SignaturePolicy(accepted="a lab")


@pytest.mark.parametrize(
    ("rules", "accepted", "why"),
    [
        (PublishSpec(), "", "the spec names no key"),
        (PublishSpec(signed_by="a", accept_unsigned="b"), "", "exclude each other"),
    ],
)
def test_a_release_without_a_rule_for_signatures_is_refused(
    rules: PublishSpec, accepted: str, why: str
) -> None:
    with pytest.raises(SpecError, match=why):
        signature_policy.choose(rules, None, accepted)


def test_an_unsigned_build_is_not_published(
    build: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ProvenanceError, match=r"may not be published[\s\S]*cannot read the public key") as e:
        signature_policy.SignaturePolicy(signed_by=tmp_path / "nobody.pub").require(build)

    assert f"scripts/inv sign mine --build {build.name}" in str(e.value.hint)
    signature_policy.SignaturePolicy(accepted="a trial").require(build)
    assert "without a signature: a trial" in capsys.readouterr().err
