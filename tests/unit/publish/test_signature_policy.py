# SPDX-License-Identifier: Apache-2.0
"""Signatures that a release needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from goldsmith.core import paths
from goldsmith.errors import ProvenanceError, SpecError
from goldsmith.provenance import attestation
from goldsmith.publish import signature_policy
from goldsmith.spec.model import PublishSpec

PRIVATE = Ed25519PrivateKey.generate()


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


def public(folder: Path, private: Ed25519PrivateKey) -> Path:
    path = folder / "release.pub"
    path.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


def test_a_build_of_another_signer_needs_the_key_of_its_signer(build: Path, tmp_path: Path) -> None:
    attestation.sign(build, PRIVATE, builder="https://ci.test/")
    other = public(tmp_path, Ed25519PrivateKey.generate())

    with pytest.raises(ProvenanceError, match="is signed by") as e:
        signature_policy.SignaturePolicy(signed_by=other).require(build)

    assert str(e.value.hint).startswith(f"name its signer's public key instead of {other}")


def test_a_build_that_changed_after_it_was_signed_is_built_again(build: Path, tmp_path: Path) -> None:
    attestation.sign(build, PRIVATE, builder="https://ci.test/")
    (build / "packages.json").write_text("{}")

    with pytest.raises(ProvenanceError, match="differs from the signed file") as e:
        signature_policy.SignaturePolicy(signed_by=public(tmp_path, PRIVATE)).require(build)

    assert str(e.value.hint).startswith("build again")


def test_a_key_that_is_not_there_is_an_error_of_the_user(build: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot read the public key") as e:
        signature_policy.SignaturePolicy(signed_by=tmp_path / "nobody.pub").require(build)

    assert "openssl pkey" in str(e.value.hint)


def test_an_unsigned_build_is_not_published(
    build: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ProvenanceError, match=r"may not be published[\s\S]*there is no statement") as e:
        signature_policy.SignaturePolicy(signed_by=public(tmp_path, PRIVATE)).require(build)

    assert str(e.value.hint).startswith(f"sign it: scripts/inv sign mine --build {build.name}")
    signature_policy.SignaturePolicy(accepted="a trial").require(build)
    assert "without a signature: a trial" in capsys.readouterr().err
