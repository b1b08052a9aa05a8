# SPDX-License-Identifier: Apache-2.0
"""What `cosign sign` of cosign 3 puts into a registry: a bundle, and a manifest that refers to the image.

RECORDED was made by cosign 3.1.3: of one image, the index is signed with team.key (which is gone) and the
platform's image by an identity of a Sigstore as in sigstore_ca, whose log had an entry before. blobs/ and
tags.json hold both the image and what cosign put into docker-registry 2.8, which has no referrers API, and
into the registry of go-containerregistry 0.21, whose API gave the answers in referrers.json.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from goldsmith.containers import oci
from goldsmith.core.paths import project_root
from tests.support.sigstore_ca import BUNDLE, SIGNED, STATEMENT

RECORDED = project_root() / "tests/golden/cosign-3"
EMPTY = "application/vnd.oci.empty.v1+json"


def bundle(
    private: PrivateKeyTypes, digest: str, *, sign: Callable[[bytes], bytes] | None = None,
    kind: str = STATEMENT, predicate: str = SIGNED, media_type: str = BUNDLE,
) -> dict[str, Any]:  # fmt: skip
    """A signature by a key, without a transparency log. sign: how, where it is not a P-256 key."""
    subject = {"digest": {"sha256": digest.removeprefix("sha256:")}}
    statement = {
        "_type": "https://in-toto.io/Statement/v1", "subject": [subject], "predicateType": predicate,
        "predicate": {},
    }  # fmt: skip
    payload = json.dumps(statement).encode()
    encoded = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    if sign is None:
        assert isinstance(private, ec.EllipticCurvePrivateKey)
        signature = private.sign(encoded, ec.ECDSA(hashes.SHA256()))
    else:
        signature = sign(encoded)
    der = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    hint = base64.b64encode(hashlib.sha256(der).digest()).decode()
    return {
        "mediaType": media_type,
        "verificationMaterial": {"publicKey": {"hint": hint}},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(), "payloadType": kind,
            "signatures": [{"sig": base64.b64encode(signature).decode()}],
        },
    }  # fmt: skip


def manifest(data: bytes, media_type: str = BUNDLE) -> bytes:
    """The manifest of a bundle. The registry of the image has no use for its subject here."""
    layer = {"mediaType": media_type, "size": len(data), "digest": oci.sha256(data)}
    config = {"mediaType": EMPTY, "size": 2, "digest": oci.sha256(b"{}")}
    return oci.canonical(
        {
            "schemaVersion": 2, "mediaType": oci.OCI_MANIFEST, "artifactType": media_type,
            "config": config, "layers": [layer],
        }
    )  # fmt: skip


def index(*manifests: bytes, artifact_type: str = BUNDLE) -> bytes:
    """The list of what refers to an image."""
    entries = [
        {
            "mediaType": oci.OCI_MANIFEST, "size": len(each), "digest": oci.sha256(each),
            **({"artifactType": artifact_type} if artifact_type else {}),
        }
        for each in manifests
    ]  # fmt: skip
    return oci.canonical({"schemaVersion": 2, "mediaType": oci.OCI_INDEX, "manifests": entries})


def recorded_blob(digest: str) -> bytes:
    """A blob or manifest of RECORDED."""
    return (RECORDED / "blobs" / digest.removeprefix("sha256:")).read_bytes()


def recorded(name: str) -> dict[str, str]:
    """tags: digests by tag. referrers: answers of the API by digest."""
    return dict(json.loads((RECORDED / f"{name}.json").read_text()))
