# SPDX-License-Identifier: Apache-2.0
"""Read Sigstore bundles, and what their statements sign. Signatures themselves are checked elsewhere.

Formats: https://docs.sigstore.dev/about/bundle/, https://github.com/secure-systems-lab/dsse (the envelope),
https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md.
"""

from __future__ import annotations

import msgspec

BUNDLE = "application/vnd.dev.sigstore.bundle"  # the start of the media type; a version follows
STATEMENT = "application/vnd.in-toto+json"
_SIGNED = "https://sigstore.dev/cosign/sign/v1"
_KNOWN = (
    f"{BUNDLE}+json;version=0.1", f"{BUNDLE}+json;version=0.2", f"{BUNDLE}+json;version=0.3",
    f"{BUNDLE}.v0.3+json",
)  # fmt: skip


class _Signature(msgspec.Struct, frozen=True):
    sig: bytes


class Envelope(msgspec.Struct, frozen=True, rename="camel"):
    """What is signed, as its kind, and the signatures; all decoded from base64."""

    payload: bytes
    payload_type: str
    signatures: tuple[_Signature, ...]


class _PublicKey(msgspec.Struct, frozen=True):
    hint: str = ""


class _Material(msgspec.Struct, frozen=True, rename="camel"):
    """What a verifier needs: a hint of the key, or something else for a certificate."""

    public_key: _PublicKey | None = None


class Bundle(msgspec.Struct, frozen=True, rename="camel"):
    """A bundle, as much of it as a signature by a key has."""

    media_type: str = ""
    verification_material: _Material = _Material()
    dsse_envelope: Envelope | None = None


class _Subject(msgspec.Struct, frozen=True):
    digest: dict[str, str] = {}


class _Statement(msgspec.Struct, frozen=True, rename="camel"):
    """An in-toto statement, as much of it as says what is signed."""

    predicate_type: str = ""
    subject: tuple[_Subject, ...] = ()


class NotAcceptedError(Exception):
    """A signature does not count; its text says why, for a list of such reasons."""


def read(data: bytes) -> Bundle:
    """The bundle in a blob. Raises NotAcceptedError for something else, and for a version not known here."""
    try:
        bundle = msgspec.json.decode(data, type=Bundle)
    except (ValueError, RecursionError) as e:
        raise NotAcceptedError(f"a signature is broken ({type(e).__name__})") from e
    if bundle.media_type not in _KNOWN:
        raise NotAcceptedError(
            f"a signature is in a form that goldsmith does not know ({bundle.media_type or 'without a name'})"
        )
    return bundle


def require_signed(kind: str, payload: bytes, digest: str) -> None:
    """Raise NotAcceptedError unless the payload is cosign's statement that the image of digest is signed."""
    if kind != STATEMENT:
        raise NotAcceptedError(f"a signature is over {kind}")
    try:
        statement = msgspec.json.decode(payload, type=_Statement)
    except (ValueError, RecursionError) as e:
        raise NotAcceptedError(f"a signature is broken ({type(e).__name__})") from e
    if statement.predicate_type != _SIGNED:
        raise NotAcceptedError(f"a statement is not a signature but {statement.predicate_type}")
    subjects = [subject.digest.get("sha256", "") for subject in statement.subject]
    if digest.removeprefix("sha256:") not in subjects:
        raise NotAcceptedError(f"a signature is for {', '.join(f'sha256:{each}' for each in subjects)}")
