# SPDX-License-Identifier: Apache-2.0
"""Check signatures that cosign made with a key and stored in the registry beside the image.

Two forms: until cosign 2 https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md, from cosign 3
a Sigstore bundle. skopeo cannot do this: Debian builds it without sigstore, and it checks no signature of an
index.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from securesystemslib import dsse

from goldsmith.containers.manifests import Descriptor
from goldsmith.containers.signing import bundles
from goldsmith.containers.signing.bundles import Bundle, NotAcceptedError
from goldsmith.errors import ProvenanceError

KIND = "application/vnd.dev.cosign.simplesigning.v1+json"
ARTIFACT = "application/vnd.dev.cosign.artifact.sig.v1+json"  # a manifest of them that refers to the image
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
_SIGNATURE = "dev.cosignproject.cosign/signature"
_TYPE = "cosign container image signature"


def tag(digest: str) -> str:
    """The tag of the signatures of an image."""
    return digest.replace(":", "-") + ".sig"


def checker(key: Path, digest: str, repository: str) -> Callable[[Descriptor, bytes], None]:
    """What raises NotAcceptedError unless a blob of its descriptor's kind is a signature by key of digest.

    Signatures of the older form also say for which repository they are. Raises ProvenanceError for a key that
    cannot be used.
    """
    public = _key(key)

    def require(layer: Descriptor, data: bytes) -> None:
        try:
            if layer.media_type == KIND:
                _require_payload(layer, data, public, digest, repository)
            else:
                _require_bundle(bundles.read(data), public, digest)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as e:
            raise NotAcceptedError(f"a signature is broken ({type(e).__name__})") from e

    return require


def _require_payload(
    layer: Descriptor, payload: bytes, public: PublicKey, digest: str, repository: str
) -> None:
    signature = base64.b64decode((layer.annotations or {})[_SIGNATURE], validate=True)
    try:
        _verify(public, signature, payload, hashes.SHA256())
    except InvalidSignature as e:
        raise NotAcceptedError("a signature is by another key") from e
    critical = json.loads(payload)["critical"]
    signed = critical["image"]["docker-manifest-digest"]
    about = _repository(critical["identity"]["docker-reference"])
    if critical.get("type") != _TYPE or signed != digest:
        raise NotAcceptedError(f"a signature is for {signed}")
    if about != repository:
        raise NotAcceptedError(f"a signature is for {about}")


def _require_bundle(bundle: Bundle, public: PublicKey, digest: str) -> None:
    envelope = bundle.dsse_envelope
    if envelope is None or len(envelope.signatures) != 1:
        raise NotAcceptedError("a signature is not an envelope with one signature")
    encoded = dsse.Envelope(envelope.payload, envelope.payload_type, {}).pae()
    try:
        _verify(public, envelope.signatures[0].sig, encoded, _hash_of(public))
    except InvalidSignature as e:
        named = bundle.verification_material.public_key
        if named is None:
            raise NotAcceptedError("a signature is by an identity, not by a key") from e
        raise NotAcceptedError(f"a signature {_why(public, named.hint)}") from e
    bundles.require_signed(envelope.payload_type, envelope.payload, digest)


def _why(public: PublicKey, hint: str) -> str:
    """Why a signature that names its key by a hint does not verify."""
    if hint != _hint(public):
        return "is by another key"
    if isinstance(public, ed25519.Ed25519PublicKey):
        return "does not match its content, or is of the kind Ed25519ph, which goldsmith cannot check"
    return "does not match its content"


def _repository(reference: str) -> str:
    """NAME of NAME[:TAG][@DIGEST]."""
    name = reference.partition("@")[0]
    head, _, last = name.rpartition("/")
    bare = f"{head}/{last.partition(':')[0]}" if head else last
    return bare.replace("index.docker.io/", "docker.io/", 1)  # cosign's name of Docker Hub


def _verify(public: PublicKey, signature: bytes, payload: bytes, hashed: hashes.HashAlgorithm) -> None:
    """hashed: not used with keys of kind Ed25519."""
    if isinstance(public, ec.EllipticCurvePublicKey):
        public.verify(signature, payload, ec.ECDSA(hashed))
    elif isinstance(public, rsa.RSAPublicKey):
        public.verify(signature, payload, padding.PKCS1v15(), hashed)
    else:
        public.verify(signature, payload)


def _hash_of(public: PublicKey) -> hashes.HashAlgorithm:
    """What cosign hashes with before it signs a bundle."""
    bits = public.key_size if isinstance(public, ec.EllipticCurvePublicKey) else 0
    return {384: hashes.SHA384(), 521: hashes.SHA512()}.get(bits, hashes.SHA256())


def _hint(public: PublicKey) -> str:
    """The name of a key in a bundle."""
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


def _key(path: Path) -> PublicKey:
    try:
        public = serialization.load_pem_public_key(path.read_bytes())
        if not isinstance(public, PublicKey):
            raise ValueError("cosign does not use keys of this kind")
    except (OSError, ValueError, UnsupportedAlgorithm) as e:
        raise ProvenanceError(
            f"cannot use the key {path.name} of the policy: {e}",
            hint="store a public key in PEM format there, as cosign public-key prints it",
        ) from e
    return public
