# SPDX-License-Identifier: Apache-2.0
"""Signatures that cosign makes with a key, as they lie in a registry beside the image.

Format: https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md. Checked here and not by
skopeo: Debian builds that without sigstore, and it asks for no signature of an index.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from goldsmith.errors import ProvenanceError

KIND = "application/vnd.dev.cosign.simplesigning.v1+json"
_SIGNATURE = "dev.cosignproject.cosign/signature"
_TYPE = "cosign container image signature"


def tag(digest: str) -> str:
    """Under which tag the signatures of an image lie."""
    return digest.replace(":", "-") + ".sig"


def check(stored: Path, digest: str, repository: str, key: Path) -> None:
    """Raise ProvenanceError unless one of the stored signatures is by key, for this digest and repository.

    stored: a folder with the signatures' manifest.json, and its blobs by their hex digest.
    """
    public = _key(key)
    refused: list[str] = []
    for layer in json.loads((stored / "manifest.json").read_text()).get("layers", ()):
        if layer.get("mediaType") == KIND:
            why = _refused(layer, stored, public, digest, repository)
            if why is None:
                return
            refused.append(why)
    shown = "; ".join(dict.fromkeys(refused)) or "none is a signature of cosign's"
    raise ProvenanceError(
        f"{repository}@{digest} is not signed as the policy wants it: {shown}",
        hint=f"ask its owner; the key is {key.name}",
    )


def _refused(
    layer: Mapping[str, Any], stored: Path, public: object, digest: str, repository: str
) -> str | None:
    """Why a signature does not count, None where it does."""
    payload = (stored / layer["digest"].partition(":")[2]).read_bytes()
    try:
        signature = base64.b64decode(layer["annotations"][_SIGNATURE], validate=True)
        _verify(public, signature, payload)
        said = json.loads(payload)["critical"]
        signed = said["image"]["docker-manifest-digest"]
        about = _repository(said["identity"]["docker-reference"])
    except InvalidSignature:
        return "a signature is by another key"
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        return f"a signature is broken ({type(e).__name__})"
    if said.get("type") != _TYPE or signed != digest:
        return f"a signature is for {signed}"
    return None if about == repository else f"a signature is for {about}"


def _repository(reference: str) -> str:
    """NAME of NAME[:TAG][@DIGEST]."""
    name = reference.partition("@")[0]
    head, _, last = name.rpartition("/")
    bare = f"{head}/{last.partition(':')[0]}" if head else last
    return bare.replace("index.docker.io/", "docker.io/", 1)  # what cosign calls Docker Hub


def _verify(public: object, signature: bytes, payload: bytes) -> None:
    if isinstance(public, ec.EllipticCurvePublicKey):
        public.verify(signature, payload, ec.ECDSA(hashes.SHA256()))
    elif isinstance(public, rsa.RSAPublicKey):
        public.verify(signature, payload, padding.PKCS1v15(), hashes.SHA256())
    elif isinstance(public, ed25519.Ed25519PublicKey):
        public.verify(signature, payload)
    else:
        raise ValueError("a key of this kind is not used by cosign")


def _key(path: Path) -> object:
    try:
        return serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as e:
        raise ProvenanceError(f"cannot use the key {path.name} of the policy: {e}") from e
