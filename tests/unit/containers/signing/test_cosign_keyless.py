# SPDX-License-Identifier: Apache-2.0
"""Keyless signatures by a Sigstore that the test makes itself; Sigstore's own library decides."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from goldsmith.containers.signing import bundles, cosign_keyless
from goldsmith.containers.signing.bundles import NotAcceptedError
from goldsmith.errors import ProvenanceError
from tests.support.sigstore_ca import IDENTITY, ISSUER, Sigstore

DIGEST = "sha256:" + "ab" * 32
SIGSTORE = Sigstore()


def check(tmp_path: Path, bundle: dict[str, Any], root: str = "", **wanted: str) -> None:
    trusted = tmp_path / "trusted_root.json"
    trusted.write_text(root or SIGSTORE.trusted_root())
    accept = cosign_keyless.checker(
        DIGEST, identity=wanted.get("identity", IDENTITY), issuer=wanted.get("issuer", ISSUER),
        trusted_root=trusted,
    )  # fmt: skip
    accept(json.dumps(bundle).encode())


def refused(tmp_path: Path, said: str, bundle: dict[str, Any], **wanted: str) -> None:
    with pytest.raises(NotAcceptedError, match=said):
        check(tmp_path, bundle, **wanted)


def test_a_signature_by_the_identity_counts(tmp_path: Path) -> None:
    check(tmp_path, SIGSTORE.bundle(DIGEST))


def test_another_image_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "a signature is for sha256:cdcd", SIGSTORE.bundle("sha256:" + "cd" * 32))


def test_another_identity_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "is not valid", SIGSTORE.bundle(DIGEST, identity="https://example.org/other"))


def test_another_issuer_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "is not valid", SIGSTORE.bundle(DIGEST, issuer="https://elsewhere.test"))


def test_another_sigstore_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "is not valid", Sigstore().bundle(DIGEST))


def test_a_statement_of_another_kind_is_no_signature(tmp_path: Path) -> None:
    refused(
        tmp_path,
        "is not a signature but https://slsa",
        SIGSTORE.bundle(DIGEST, predicate="https://slsa.dev/x"),
    )


def test_a_payload_of_another_kind_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "is over text/plain", SIGSTORE.bundle(DIGEST, kind="text/plain"))


@pytest.mark.parametrize(
    "path",
    [
        ("dsseEnvelope", "payload"),
        ("dsseEnvelope", "signatures", 0, "sig"),
        ("verificationMaterial", "tlogEntries", 0, "canonicalizedBody"),
        ("verificationMaterial", "tlogEntries", 0, "inclusionProof", "rootHash"),
        ("verificationMaterial", "tlogEntries", 0, "inclusionPromise", "signedEntryTimestamp"),
        ("verificationMaterial", "certificate", "rawBytes"),
    ],
)
def test_a_part_of_another_signature_does_not_fit(tmp_path: Path, path: tuple[str | int, ...]) -> None:
    bundle: Any = SIGSTORE.bundle(DIGEST)
    other: Any = SIGSTORE.bundle("sha256:" + "cd" * 32)
    place, source = bundle, other
    for key in path[:-1]:
        place, source = place[key], source[key]
    place[path[-1]] = source[path[-1]]

    refused(tmp_path, "is not valid|is for sha256:cdcd", bundle)


def test_text_is_no_bundle(tmp_path: Path) -> None:
    refused(tmp_path, r"does not know \(text/plain\)", {"mediaType": "text/plain"})


def test_a_bundle_of_a_newer_version_is_named(tmp_path: Path) -> None:
    newer = f"{bundles.BUNDLE}.v0.4+json"
    refused(
        tmp_path, f"does not know \\({re.escape(newer)}\\)", {**SIGSTORE.bundle(DIGEST), "mediaType": newer}
    )


def test_a_bundle_of_a_key_is_no_signature_by_an_identity(tmp_path: Path) -> None:
    by_key = {**SIGSTORE.bundle(DIGEST), "verificationMaterial": {"publicKey": {"hint": "x"}}}
    refused(tmp_path, "by a key, not by an identity", by_key)


def test_a_trusted_root_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProvenanceError, match=r"cannot use the trusted root trusted_root\.json"):
        check(tmp_path, SIGSTORE.bundle(DIGEST), root="{}")
