# SPDX-License-Identifier: Apache-2.0
"""OpenStack's own image signatures: the properties by which Nova and Glance check an image before use.

What they check: https://docs.openstack.org/glance/latest/user/signature.html (the library cursive).
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from goldsmith.core import files
from goldsmith.errors import ProvenanceError

FILE = "image-signatures.json"
_CURVES = {"secp384r1": "ECC_SECP384R1", "secp521r1": "ECC_SECP521R1"}


def properties(disk: Path, private: PrivateKeyTypes, certificate: str) -> dict[str, str]:
    """The four img_signature properties of a disk image, as its bytes are.

    certificate: UUID under which the cloud's key manager holds the certificate of the same key.
    Raises ProvenanceError for a key of a kind that OpenStack does not check, or what is no UUID.
    """
    try:
        uuid.UUID(certificate)
    except ValueError:
        raise ProvenanceError(
            f"{certificate!r} is no UUID of a certificate",
            hint="store it first: openstack secret store --secret-type certificate --file ...",
        ) from None
    with disk.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").digest()
    kind, signature = _signed(private, digest)
    return {
        "img_signature": base64.b64encode(signature).decode(),
        "img_signature_hash_method": "SHA-256",
        "img_signature_key_type": kind,
        "img_signature_certificate_uuid": certificate,
    }


def keep(folder: Path, made: Mapping[str, Mapping[str, str]]) -> None:
    """Write the properties of a build's disk images beside them: hex sha256 of an image -> its properties."""
    document = {"schema": "goldsmith.image-signatures", "version": 1, "images": made}
    files.write_atomically(folder / FILE, (json.dumps(document, indent=2, sort_keys=True) + "\n").encode())


def kept(folder: Path, sha256: str) -> dict[str, str]:
    """The properties of the disk image with this hash, none where it was not signed for OpenStack.

    Raises ProvenanceError for a file that keep() did not write.
    """
    try:
        document = json.loads((folder / FILE).read_text())
        return {str(name): str(value) for name, value in document["images"].get(sha256, {}).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise ProvenanceError(f"{folder / FILE} is no list of image signatures: {e}") from e


def _signed(private: PrivateKeyTypes, digest: bytes) -> tuple[str, bytes]:
    method = Prehashed(hashes.SHA256())
    if isinstance(private, rsa.RSAPrivateKey):
        pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.MAX_LENGTH)
        return "RSA-PSS", private.sign(digest, pss, method)
    if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name in _CURVES:
        return _CURVES[private.curve.name], private.sign(digest, ec.ECDSA(method))
    raise ProvenanceError(
        "OpenStack checks no image signatures by this kind of key",
        hint="use an RSA key, or ECDSA with P-384 or P-521",
    )
