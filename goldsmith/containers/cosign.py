# SPDX-License-Identifier: Apache-2.0
"""Check signatures that cosign made with a key and stored in the registry beside the image.

Format: https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md. skopeo cannot do
this: Debian builds it without sigstore, and it checks no signature of an index.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from goldsmith.containers import blobs, manifests
from goldsmith.containers.manifests import Descriptor
from goldsmith.errors import ProvenanceError

KIND = "application/vnd.dev.cosign.simplesigning.v1+json"
_SIGNATURE = "dev.cosignproject.cosign/signature"
_TYPE = "cosign container image signature"


def tag(digest: str) -> str:
    """The tag of the signatures of an image."""
    return digest.replace(":", "-") + ".sig"


def check(stored: Path, digest: str, repository: str, key: Path) -> None:
    """Raise ProvenanceError unless one of the stored signatures is by key, for this digest and repository.

    stored: a folder with the signatures' manifest.json, and its blobs by their hex digest.
    """
    public = _key(key)
    refused: list[str] = []
    listed = manifests.manifest((stored / "manifest.json").read_bytes(), f"the signatures of {repository}")
    for layer in listed.layers or ():
        if layer.media_type == KIND:
            why = _refused(layer, stored, public, digest, repository)
            if why is None:
                return
            refused.append(why)
    shown = "; ".join(dict.fromkeys(refused)) or "none is a cosign signature"
    raise ProvenanceError(
        f"{repository}@{digest} is not signed as the policy requires: {shown}",
        hint=f"ask its owner; the key is {key.name}",
    )


def _refused(layer: Descriptor, stored: Path, public: object, digest: str, repository: str) -> str | None:
    """Why a signature is not accepted; None if it is."""
    payload = (stored / blobs.hex_of(layer.digest)).read_bytes()
    try:
        signature = base64.b64decode((layer.annotations or {})[_SIGNATURE], validate=True)
        _verify(public, signature, payload)
        critical = json.loads(payload)["critical"]
        signed = critical["image"]["docker-manifest-digest"]
        about = _repository(critical["identity"]["docker-reference"])
    except InvalidSignature:
        return "a signature is by another key"
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as e:
        return f"a signature is broken ({type(e).__name__})"
    if critical.get("type") != _TYPE or signed != digest:
        return f"a signature is for {signed}"
    return None if about == repository else f"a signature is for {about}"


def _repository(reference: str) -> str:
    """NAME of NAME[:TAG][@DIGEST]."""
    name = reference.partition("@")[0]
    head, _, last = name.rpartition("/")
    bare = f"{head}/{last.partition(':')[0]}" if head else last
    return bare.replace("index.docker.io/", "docker.io/", 1)  # cosign's name of Docker Hub


def _verify(public: object, signature: bytes, payload: bytes) -> None:
    if isinstance(public, ec.EllipticCurvePublicKey):
        public.verify(signature, payload, ec.ECDSA(hashes.SHA256()))
    elif isinstance(public, rsa.RSAPublicKey):
        public.verify(signature, payload, padding.PKCS1v15(), hashes.SHA256())
    elif isinstance(public, ed25519.Ed25519PublicKey):
        public.verify(signature, payload)
    else:
        raise ValueError("cosign does not use keys of this kind")


def _key(path: Path) -> object:
    try:
        return serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as e:
        raise ProvenanceError(
            f"cannot use the key {path.name} of the policy: {e}",
            hint="store a public key in PEM format there, as cosign public-key prints it",
        ) from e
