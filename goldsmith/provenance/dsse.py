# SPDX-License-Identifier: Apache-2.0
"""Keys and signed envelopes (DSSE v1.0, https://github.com/secure-systems-lab/dsse).

Only one spelling of an envelope is accepted, so that no byte of its file can change unnoticed.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from securesystemslib import dsse
from securesystemslib.exceptions import VerificationError as BadSignature
from securesystemslib.signer import CryptoSigner, Key, SSlibKey

from goldsmith.core import progress
from goldsmith.errors import ProvenanceError, SpecError

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PHRASE_VARIABLE = "GOLDSMITH_KEY_PASSPHRASE"
_MAKE_KEY = "make one: openssl genpkey -algorithm ed25519 -aes256 -out release.key"
_MAKE_PUBLIC = "extract the public key: openssl pkey -in release.key -pubout -out release.pub"


def private_key(path: Path) -> PrivateKeyTypes:
    """Read a private key from a PEM file. Raises SpecError and ProvenanceError.

    Its passphrase is the environment's GOLDSMITH_KEY_PASSPHRASE; else a terminal is asked for it.
    """
    data = _read(path, "private key", _MAKE_KEY)
    password = _passphrase(path) if b"ENCRYPTED" in data else None
    try:
        return serialization.load_pem_private_key(data, password)
    except (ValueError, TypeError, UnsupportedAlgorithm) as e:
        why = "wrong passphrase, or the file is damaged" if password else "it is no PEM private key"
        raise ProvenanceError(f"cannot use the private key {path}: {why}", hint=_MAKE_KEY) from e


def public_key(path: Path) -> SSlibKey:
    """Read a public key from a PEM file (SubjectPublicKeyInfo). Raises SpecError and ProvenanceError."""
    data = _read(path, "public key", _MAKE_PUBLIC)
    if b"PRIVATE" in data:
        raise ProvenanceError(f"{path} is a private key, not a public one", hint=_MAKE_PUBLIC)
    try:
        return _named(serialization.load_pem_public_key(data))
    except (ValueError, UnsupportedAlgorithm) as e:
        raise ProvenanceError(f"cannot use the public key {path}: {e}", hint=_MAKE_PUBLIC) from e


def seal(payload: bytes, kind: str, private: PrivateKeyTypes) -> bytes:
    """Sign payload; the envelope around it. kind: the payload's media type. Raises ProvenanceError."""
    envelope = dsse.Envelope(payload, kind, {})
    try:
        envelope.sign(CryptoSigner(private, _named(private.public_key())))
    except ValueError as e:
        raise ProvenanceError(
            f"cannot sign with this kind of key: {e}", hint="use Ed25519, RSA, or ECDSA with P-256 to P-521"
        ) from e
    return _spelled(envelope)


def bundle(envelope: bytes, private: PrivateKeyTypes) -> bytes | None:
    """A Sigstore bundle, without log entry and time stamp, around an envelope of seal().

    None for a key that cosign checks in another way than seal() signs: RSA, and ECDSA other than P-256.
    Format: https://github.com/sigstore/protobuf-specs, sigstore_bundle.proto.
    """
    is_p256 = isinstance(private, EllipticCurvePrivateKey) and isinstance(private.curve, SECP256R1)
    if not (is_p256 or isinstance(private, Ed25519PrivateKey)):
        return None
    content = {
        "mediaType": BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": key_id(private)}},
        "dsseEnvelope": json.loads(envelope),
    }
    for signature in content["dsseEnvelope"]["signatures"]:
        del signature["keyid"]  # cosign takes a signature with an ID of others for that of another key
    return (json.dumps(content, sort_keys=True) + "\n").encode()


def unseal(data: bytes, kind: str, key: Key, origin: str) -> bytes:
    """The payload, after a check of its signature. Raises ProvenanceError, which names origin."""
    try:
        envelope = dsse.Envelope.from_dict(json.loads(data))
        well_spelled = _spelled(envelope) == data and envelope.payload_type == kind
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise ProvenanceError(
            f"{origin} is no signed statement: {type(e).__name__}: {e}",
            hint="get the file again from its signer",
        ) from e
    if not well_spelled:
        raise ProvenanceError(
            f"{origin} is not spelled as goldsmith spells a signed statement of {kind}",
            hint="get the file again from its signer",
        )
    if set(envelope.signatures) != {key.keyid}:
        signers = ", ".join(keyid[:16] for keyid in envelope.signatures) or "nobody"
        raise ProvenanceError(
            f"{origin} is signed by {signers}, not by the key {key.keyid[:16]}",
            hint="ask for the signer's public key, or do not use the release",
        )
    try:
        envelope.verify([key], 1)
    except BadSignature as e:
        raise ProvenanceError(
            f"the signature of {origin} does not match its content", hint="get the file again from its signer"
        ) from e
    return envelope.payload


def claimed_signer(data: bytes) -> str | None:
    """The ID of the key that an envelope names, unchecked; None where it names none."""
    try:
        return next((str(each["keyid"]) for each in json.loads(data)["signatures"]), None)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def key_id(private: PrivateKeyTypes) -> str:
    """The ID of a key: hex sha256 of its public part."""
    return str(_named(private.public_key()).keyid)


def _named(public: PublicKeyTypes) -> SSlibKey:
    """The key with its ID: the hash of its DER form, as by `openssl pkey -pubin -outform der | sha256sum`."""
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return SSlibKey.from_crypto(public, keyid=hashlib.sha256(der).hexdigest())


def _spelled(envelope: dsse.Envelope) -> bytes:
    return (json.dumps(envelope.to_dict(), sort_keys=True) + "\n").encode()


def _read(path: Path, what: str, hint: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise SpecError(f"cannot read the {what} {path}: {e.strerror}", hint=hint) from e


def _passphrase(path: Path, ask: Callable[[str], str] = getpass.getpass) -> bytes:
    given = os.environ.get(PHRASE_VARIABLE)
    if given is None:
        if not sys.stdin.isatty():
            raise ProvenanceError(
                f"the private key {path} has a passphrase, and there is no terminal to ask for it",
                hint=f"set {PHRASE_VARIABLE} in the environment",
            )
        with progress.hidden():
            given = ask(f"Passphrase of {path}: ")
    return given.encode()
