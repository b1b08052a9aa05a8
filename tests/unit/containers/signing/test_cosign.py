# SPDX-License-Identifier: Apache-2.0
"""Signatures by a key, in the form of cosign 2 and in that of cosign 3."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from goldsmith.containers import oci
from goldsmith.containers.manifests import Descriptor
from goldsmith.containers.signing import bundles, cosign
from goldsmith.containers.signing.bundles import NotAcceptedError
from goldsmith.errors import ProvenanceError
from tests.support import cosign_3
from tests.support.sigstore_ca import BUNDLE, Sigstore

DIGEST = f"sha256:{'a' * 64}"
OTHER = f"sha256:{'b' * 64}"
REPOSITORY = "host.test/team/app"
KEY = ec.generate_private_key(ec.SECP256R1())
STRANGER = ec.generate_private_key(ec.SECP256R1())


def public(private: PrivateKeyTypes, encoding: Encoding = Encoding.PEM) -> bytes:
    return private.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "team.pub"
    path.write_bytes(public(KEY))
    return path


Blob = tuple[Descriptor, bytes]


def check(key: Path, blob: Blob) -> None:
    cosign.checker(key, DIGEST, REPOSITORY)(*blob)


def test_docker_hub_is_known_by_the_name_that_cosign_uses() -> None:
    assert cosign._repository("index.docker.io/team/app:1") == "docker.io/team/app"


# The form of cosign 2


def signature(*, private: ec.EllipticCurvePrivateKey = KEY, changes: Mapping[str, Any] | None = None) -> Blob:
    said = {
        "identity": {"docker-reference": REPOSITORY}, "image": {"docker-manifest-digest": DIGEST},
        "type": "cosign container image signature", **(changes or {}),
    }  # fmt: skip
    payload = json.dumps({"critical": said, "optional": None}).encode()
    signature = base64.b64encode(private.sign(payload, ec.ECDSA(hashes.SHA256()))).decode()
    annotations = {"dev.cosignproject.cosign/signature": signature}
    layer = Descriptor(
        media_type=cosign.KIND, digest=oci.sha256(payload), size=len(payload), annotations=annotations
    )
    return layer, payload


def test_a_signature_by_the_key_for_this_image_is_accepted(key: Path) -> None:
    check(key, signature())

    assert cosign.tag(DIGEST) == f"sha256-{'a' * 64}.sig"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"image": {"docker-manifest-digest": OTHER}}, "is for sha256:bbb"),
        ({"identity": {"docker-reference": "host.test/team/other"}}, "is for host.test/team/other"),
        ({"identity": {"docker-reference": "host.test/team/app-2:1"}}, "is for host.test/team/app-2"),
        ({"type": "atomic container signature"}, "is for sha256:aaa"),
        ({"image": {}}, "is broken"),
    ],
)
def test_a_signature_for_another_image_is_refused(key: Path, changes: Mapping[str, Any], why: str) -> None:
    with pytest.raises(NotAcceptedError, match=why):
        check(key, signature(changes=changes))


def test_a_signature_by_another_key_is_refused(key: Path) -> None:
    with pytest.raises(NotAcceptedError, match="by another key"):
        check(key, signature(private=STRANGER))


def test_a_changed_payload_is_refused(key: Path) -> None:
    layer, payload = signature(changes={"image": {"docker-manifest-digest": OTHER}})

    with pytest.raises(NotAcceptedError, match="by another key"):
        check(key, (layer, payload.replace(b"b" * 64, b"a" * 64)))


@pytest.mark.parametrize("reference", ["host.test/team/app:1", f"host.test/team/app:1@{DIGEST}"])
def test_the_tag_it_was_signed_under_does_not_matter(key: Path, reference: str) -> None:
    check(key, signature(changes={"identity": {"docker-reference": reference}}))


# The form of cosign 3


def blob(bundle: object) -> Blob:
    return Descriptor(media_type=BUNDLE), json.dumps(bundle).encode()


P384, P521 = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP521R1())
RSA, ED25519 = rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()


@pytest.mark.parametrize(
    ("private", "sign"),
    [
        (KEY, lambda data: KEY.sign(data, ec.ECDSA(hashes.SHA256()))),
        (P384, lambda data: P384.sign(data, ec.ECDSA(hashes.SHA384()))),
        (P521, lambda data: P521.sign(data, ec.ECDSA(hashes.SHA512()))),
        (RSA, lambda data: RSA.sign(data, padding.PKCS1v15(), hashes.SHA256())),
        (ED25519, ED25519.sign),
    ],
    ids=["P-256", "P-384", "P-521", "RSA", "Ed25519"],
)
def test_a_bundle_by_the_key_for_this_image_is_accepted(
    key: Path, private: PrivateKeyTypes, sign: Callable[[bytes], bytes]
) -> None:
    key.write_bytes(public(private))

    check(key, blob(cosign_3.bundle(private, DIGEST, sign=sign)))


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ({"digest": OTHER}, "is for sha256:bbb"),
        ({"predicate": "https://slsa.dev/provenance/v1"}, "is not a signature but https://slsa"),
        ({"kind": "text/plain"}, "is over text/plain"),
        ({"sign": lambda data: STRANGER.sign(data, ec.ECDSA(hashes.SHA256()))}, "does not match its content"),
        (
            {"private": STRANGER, "sign": lambda data: STRANGER.sign(data, ec.ECDSA(hashes.SHA256()))},
            "is by another key",
        ),
        (
            {"media_type": f"{bundles.BUNDLE}.v0.4+json"},
            rf"in a form that goldsmith does not know \({bundles.BUNDLE}\.v0\.4\+json\)",
        ),
        ({"media_type": ""}, r"does not know \(without a name\)"),
    ],
)
def test_a_bundle_of_something_else_is_refused(key: Path, made: dict[str, Any], why: str) -> None:
    with pytest.raises(NotAcceptedError, match=why):
        check(key, blob(cosign_3.bundle(**{"private": KEY, "digest": DIGEST, **made})))


def test_a_bundle_with_a_changed_payload_is_refused(key: Path) -> None:
    changed = cosign_3.bundle(KEY, OTHER)
    payload = base64.b64decode(changed["dsseEnvelope"]["payload"]).replace(b"b" * 64, b"a" * 64)
    changed["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()

    with pytest.raises(NotAcceptedError, match="does not match its content"):
        check(key, blob(changed))


def test_a_bundle_of_an_identity_is_no_signature_by_a_key(key: Path) -> None:
    with pytest.raises(NotAcceptedError, match="by an identity, not by a key"):
        check(key, blob(Sigstore().bundle(DIGEST)))


def test_the_kind_of_ed25519_that_cosign_uses_is_named(key: Path) -> None:
    """cosign 3 signs hashes with such a key; `cosign verify` does not take that either."""
    key.write_bytes(public(ED25519))
    made = cosign_3.bundle(ED25519, DIGEST, sign=lambda data: ED25519.sign(hashlib.sha512(data).digest()))

    with pytest.raises(NotAcceptedError, match="of the kind Ed25519ph, which goldsmith cannot check"):
        check(key, blob(made))


@pytest.mark.parametrize("count", [0, 2])
def test_a_bundle_has_one_signature(key: Path, count: int) -> None:
    made = cosign_3.bundle(KEY, DIGEST)
    made["dsseEnvelope"]["signatures"] *= count

    with pytest.raises(NotAcceptedError, match="is not an envelope with one signature"):
        check(key, blob(made))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"null", b"[]", b"<html>", b"[" * 100_000, b'{"mediaType": 7}', b'{"dsseEnvelope": {}}',
        b'{"dsseEnvelope": {"payload": "!", "payloadType": "", "signatures": []}}',
    ],
    ids=range(8),
)  # fmt: skip
def test_another_document_is_no_bundle(key: Path, data: bytes) -> None:
    with pytest.raises(NotAcceptedError, match=r"a signature is broken|does not know"):
        check(key, (Descriptor(media_type=BUNDLE), data))


def test_a_message_without_an_envelope_is_refused(key: Path) -> None:
    made = cosign_3.bundle(KEY, DIGEST)
    del made["dsseEnvelope"]

    with pytest.raises(NotAcceptedError, match="is not an envelope"):
        check(key, blob({**made, "messageSignature": {}}))


@pytest.mark.parametrize("data", [b"", b"text", public(x25519.X25519PrivateKey.generate())])
def test_a_key_that_cosign_cannot_have_is_named(key: Path, data: bytes) -> None:
    key.write_bytes(data)

    with pytest.raises(ProvenanceError, match=r"cannot use the key team\.pub of the policy"):
        check(key, blob(cosign_3.bundle(KEY, DIGEST)))
