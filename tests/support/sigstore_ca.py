# SPDX-License-Identifier: Apache-2.0
"""A Sigstore for tests: a certificate authority, a certificate log, a log of signatures, a signer.

What it makes is of the forms that the public one makes: a trusted root, and bundles of cosign's signatures
over container images. RFC 6962 (certificate log, Merkle tree), rekor's dsse 0.0.1, and its signed checkpoint.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import struct
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ISSUER = "https://issuer.test"
IDENTITY = "https://example.org/release.yaml@refs/heads/main"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
STATEMENT = "application/vnd.in-toto+json"
SIGNED = "https://sigstore.dev/cosign/sign/v1"
_SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_ISSUER_V1 = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_ISSUER_V2 = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
_SIGNED_AT = _START + datetime.timedelta(days=1)


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _public(key: ec.EllipticCurvePrivateKey) -> bytes:
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.DER, info)


def _sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Sigstore:
    """A Sigstore with new keys, which nobody else trusts."""

    root_key: ec.EllipticCurvePrivateKey = field(default_factory=_key)
    certificate_log: ec.EllipticCurvePrivateKey = field(default_factory=_key)
    signature_log: ec.EllipticCurvePrivateKey = field(default_factory=_key)

    def trusted_root(self) -> str:
        """The text of trusted_root.json, for verifiers."""
        valid = {"start": _START.isoformat().replace("+00:00", "Z")}
        root = self._root().public_bytes(serialization.Encoding.DER)
        authority = {
            "subject": {"organization": "test", "commonName": "test"}, "uri": "https://ca.test",
            "certChain": {"certificates": [{"rawBytes": _b64(root)}]}, "validFor": valid,
        }  # fmt: skip
        document = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [_log("https://log.test", self.signature_log, valid)],
            "certificateAuthorities": [authority],
            "ctlogs": [_log("https://ct.test", self.certificate_log, valid)],
            "timestampAuthorities": [],
        }
        return json.dumps(document)

    def bundle(
        self, digest: str, *, identity: str = IDENTITY, issuer: str = ISSUER, predicate: str = SIGNED,
        kind: str = STATEMENT,
    ) -> dict[str, Any]:  # fmt: skip
        """A signature of an image, as `cosign sign --new-bundle-format` stores it in a registry."""
        key = _key()
        certificate = self._leaf(key, identity, issuer)
        subject = {"name": "", "digest": {"sha256": digest.removeprefix("sha256:")}}
        payload = _canonical(
            {
                "_type": "https://in-toto.io/Statement/v1", "predicateType": predicate, "predicate": {},
                "subject": [subject],
            }
        )  # fmt: skip
        encoded = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
        signature = _sign(key, encoded)
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        der = certificate.public_bytes(serialization.Encoding.DER)
        return {
            "mediaType": BUNDLE,
            "verificationMaterial": {
                "certificate": {"rawBytes": _b64(der)},
                "tlogEntries": [self._entry(payload, signature, pem)],
            },
            "dsseEnvelope": {
                "payload": _b64(payload), "payloadType": kind, "signatures": [{"sig": _b64(signature)}],
            },
        }  # fmt: skip

    def _root(self) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        return (
            x509.CertificateBuilder(
                issuer_name=name, subject_name=name, public_key=self.root_key.public_key(), serial_number=1,
                not_valid_before=_START, not_valid_after=_START + datetime.timedelta(days=3650),
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self.root_key.public_key()), critical=False
            )
            .sign(self.root_key, hashes.SHA256())
        )  # fmt: skip

    def _leaf(self, key: ec.EllipticCurvePrivateKey, identity: str, issuer: str) -> x509.Certificate:
        """A certificate for ten minutes, with the certificate log's signed timestamp."""
        root = self._root()
        usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
        text = issuer.encode()
        builder = (
            x509.CertificateBuilder(
                issuer_name=root.subject, subject_name=x509.Name([]), public_key=key.public_key(),
                serial_number=x509.random_serial_number(), not_valid_before=_SIGNED_AT,
                not_valid_after=_SIGNED_AT + datetime.timedelta(minutes=10),
            )
            .add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.root_key.public_key()), critical=False
            )
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)]), critical=True
            )
            .add_extension(x509.UnrecognizedExtension(_ISSUER_V1, text), critical=False)
            .add_extension(
                x509.UnrecognizedExtension(_ISSUER_V2, b"\x0c" + bytes([len(text)]) + text), critical=False
            )
        )  # fmt: skip
        seen = self._seen(builder.sign(self.root_key, hashes.SHA256()).tbs_certificate_bytes)
        return builder.add_extension(x509.UnrecognizedExtension(_SCT_LIST, seen), critical=False).sign(
            self.root_key, hashes.SHA256()
        )

    def _seen(self, certificate: bytes) -> bytes:
        """A list of one signed certificate timestamp, in DER (RFC 6962, 3.2 and 3.3)."""
        stamp = int(_SIGNED_AT.timestamp() * 1000)
        issuer = hashlib.sha256(_public(self.root_key)).digest()
        length = struct.pack("!I", len(certificate))[1:]
        said = struct.pack("!BBQH", 0, 0, stamp, 1) + issuer + length + certificate + b"\0\0"
        signature = _sign(self.certificate_log, said)
        log = hashlib.sha256(_public(self.certificate_log)).digest()
        one = b"\0" + log + struct.pack("!QH", stamp, 0) + b"\x04\x03" + _vector(signature)
        listed = _vector(_vector(one))
        return b"\x04" + (bytes([len(listed)]) if len(listed) < 128 else bytes([0x81, len(listed)])) + listed

    def _entry(self, payload: bytes, signature: bytes, pem: bytes) -> dict[str, Any]:
        """The only entry in the log of signatures."""
        hashed = {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()}
        body = _canonical(
            {
                "apiVersion": "0.0.1", "kind": "dsse",
                "spec": {
                    "envelopeHash": hashed, "payloadHash": hashed,
                    "signatures": [{"signature": _b64(signature), "verifier": _b64(pem)}],
                },
            }
        )  # fmt: skip
        log = hashlib.sha256(_public(self.signature_log)).digest()
        stamp = int(_SIGNED_AT.timestamp()) + 60
        promise = {"body": _b64(body), "integratedTime": stamp, "logID": log.hex(), "logIndex": 0}
        promised = _sign(self.signature_log, _canonical(promise))
        tree = hashlib.sha256(b"\0" + body).digest()
        note = f"log.test - 1\n1\n{_b64(tree)}\n"
        checkpoint = f"{note}\n\u2014 log.test {_b64(log[:4] + _sign(self.signature_log, note.encode()))}\n"
        return {
            "logIndex": "0", "logId": {"keyId": _b64(log)},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(stamp), "canonicalizedBody": _b64(body),
            "inclusionPromise": {"signedEntryTimestamp": _b64(promised)},
            "inclusionProof": {
                "logIndex": "0", "rootHash": _b64(tree), "treeSize": "1", "hashes": [],
                "checkpoint": {"envelope": checkpoint},
            },
        }  # fmt: skip


def _vector(data: bytes) -> bytes:
    return struct.pack("!H", len(data)) + data


def _log(url: str, key: ec.EllipticCurvePrivateKey, valid: dict[str, str]) -> dict[str, Any]:
    public = _public(key)
    return {
        "baseUrl": url, "hashAlgorithm": "SHA2_256",
        "publicKey": {"rawBytes": _b64(public), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": valid},
        "logId": {"keyId": _b64(hashlib.sha256(public).digest())},
    }  # fmt: skip
