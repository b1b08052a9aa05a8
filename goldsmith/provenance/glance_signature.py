# SPDX-License-Identifier: Apache-2.0
"""OpenStack's image signatures: properties by which Nova and Glance check an image before use.

See https://docs.openstack.org/glance/latest/user/signature.html (the library cursive).
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from goldsmith.core import documents, files
from goldsmith.core.documents import Document, about
from goldsmith.errors import ProvenanceError

FILE = "image-signatures.json"
_CURVES = {"secp384r1": "ECC_SECP384R1", "secp521r1": "ECC_SECP521R1"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSignature:
    """The properties of one disk image."""

    img_signature: Annotated[str, about("The signature, base64.")]
    img_signature_hash_method: Annotated[str, about("Hash that is signed: SHA-256.")]
    img_signature_key_type: Annotated[str, about("Kind of the key: RSA-PSS, ECC_SECP384R1, ECC_SECP521R1.")]
    img_signature_certificate_uuid: Annotated[str, about("UUID of the certificate in the key manager.")]

    def as_properties(self) -> dict[str, str]:
        """As Glance takes them."""
        made: dict[str, str] = documents.as_data(self)
        return made


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSignatures(Document):
    """OpenStack's signatures of a build's disk images."""

    SCHEMA: ClassVar[str] = "goldsmith.image-signatures"

    images: Annotated[Mapping[str, ImageSignature], about("By hex sha256 of the disk image.")]


def sign(disk: Path, private: PrivateKeyTypes, certificate: str) -> ImageSignature:
    """Sign the bytes of a disk image.

    certificate: UUID under which the cloud's key manager holds the certificate of the same key.
    Raises ProvenanceError for a kind of key that OpenStack does not check, and for a wrong UUID.
    """
    try:
        uuid.UUID(certificate)
    except ValueError:
        raise ProvenanceError(
            f"{certificate!r} is no UUID of a certificate",
            hint="store the certificate first: openstack secret store --secret-type certificate --file ...",
        ) from None
    with disk.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").digest()
    kind, signature = _signed(private, digest)
    return ImageSignature(
        img_signature=base64.b64encode(signature).decode(), img_signature_hash_method="SHA-256",
        img_signature_key_type=kind, img_signature_certificate_uuid=certificate,
    )  # fmt: skip


def keep(folder: Path, signatures: ImageSignatures) -> None:
    """Write the signatures of a build's disk images beside them."""
    text = json.dumps(signatures.as_dict(), indent=2, sort_keys=True)
    files.write_atomically(folder / FILE, f"{text}\n".encode())


def kept(folder: Path, sha256: str) -> dict[str, str]:
    """The properties of the disk image with this hash; empty where it is not signed for OpenStack.

    Raises ProvenanceError for a file that keep() did not write.
    """
    if not (folder / FILE).exists():
        return {}
    signature = ImageSignatures.read(folder / FILE, error=ProvenanceError).images.get(sha256)
    return {} if signature is None else signature.as_properties()


def _signed(private: PrivateKeyTypes, digest: bytes) -> tuple[str, bytes]:
    method = Prehashed(hashes.SHA256())
    if isinstance(private, rsa.RSAPrivateKey):
        pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.MAX_LENGTH)
        return "RSA-PSS", private.sign(digest, pss, method)
    if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name in _CURVES:
        return _CURVES[private.curve.name], private.sign(digest, ec.ECDSA(method))
    raise ProvenanceError(
        "OpenStack does not check image signatures of this kind of key",
        hint="use an RSA key, or ECDSA with P-384 or P-521",
    )
