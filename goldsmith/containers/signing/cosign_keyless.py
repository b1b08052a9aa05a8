# SPDX-License-Identifier: Apache-2.0
"""Check keyless signatures of container images: Sigstore bundles in the registry beside the image.

Sigstore's own library checks them, without a network: certificates and logs are those of a trusted root on
disk.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sigstore.verify import Verifier

from goldsmith.containers.signing import bundles
from goldsmith.containers.signing.bundles import NotAcceptedError
from goldsmith.errors import ProvenanceError


def checker(digest: str, *, identity: str, issuer: str, trusted_root: Path) -> Callable[[bytes], None]:
    """What raises NotAcceptedError unless a bundle is a signature of digest by identity.

    identity: the subject of the certificate, as issuer confirmed it; both are compared exactly.
    Raises ProvenanceError for a trusted root that cannot be used.
    """
    from sigstore.errors import Error as SigstoreError
    from sigstore.models import Bundle
    from sigstore.verify import policy as identities

    verifier = _verifier(trusted_root)
    required = identities.Identity(identity=identity, issuer=issuer)

    def require(data: bytes) -> None:
        if bundles.read(data).verification_material.public_key is not None:
            raise NotAcceptedError("a signature is by a key, not by an identity")
        try:
            kind, payload = verifier.verify_dsse(Bundle.from_json(data), required)
        except SigstoreError as e:
            raise NotAcceptedError(f"a signature is not valid ({str(e).splitlines()[0]})") from e
        except (ValueError, KeyError, TypeError) as e:
            raise NotAcceptedError(f"a signature is broken ({type(e).__name__})") from e
        bundles.require_signed(kind, payload, digest)

    return require


def _verifier(trusted_root: Path) -> Verifier:
    from sigstore.errors import Error as SigstoreError
    from sigstore.models import TrustedRoot
    from sigstore.verify import Verifier

    try:
        return Verifier(trusted_root=TrustedRoot.from_file(str(trusted_root)))
    except (OSError, ValueError, SigstoreError) as e:
        raise ProvenanceError(
            f"cannot use the trusted root {trusted_root.name} of the policy: {str(e).splitlines()[0]}",
            hint="get the trusted_root.json of that Sigstore again",
        ) from e
