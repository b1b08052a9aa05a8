# SPDX-License-Identifier: Apache-2.0
"""Check keyless signatures of container images: Sigstore bundles in the registry beside the image.

Sigstore's own library checks them, without a network: certificates and logs are those of a trusted root on
disk. Formats: https://docs.sigstore.dev/about/bundle/, and the fallback of the OCI distribution specification
for registries without an API for referrers: an index under the tag sha256-DIGEST.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from sigstore.models import Bundle
    from sigstore.verify import Verifier

from goldsmith.containers import manifests
from goldsmith.errors import BuildError, ProvenanceError

BUNDLE = "application/vnd.dev.sigstore.bundle"  # the start of the media type; a version follows
_STATEMENT = "application/vnd.in-toto+json"
_SIGNED = "https://sigstore.dev/cosign/sign/v1"


class _Subject(msgspec.Struct, frozen=True):
    digest: dict[str, str] = {}


class _Statement(msgspec.Struct, frozen=True, rename="camel"):
    """An in-toto statement, as much of it as says what is signed."""

    predicate_type: str = ""
    subject: tuple[_Subject, ...] = ()


def tag(digest: str) -> str:
    """The tag of the list of manifests that refer to an image."""
    return digest.replace(":", "-")


def bundles(index: bytes) -> tuple[str, ...]:
    """The digests of the manifests, in the list under tag(), that hold a bundle."""
    try:
        entries = manifests.manifest(index, "signatures").manifests or ()
    except BuildError:
        return ()
    return tuple(entry.digest for entry in entries if (entry.artifact_type or "").startswith(BUNDLE))


def blobs(manifest: bytes) -> tuple[str, ...]:
    """The digests of the bundles in such a manifest."""
    layers = manifests.manifest(manifest, "a signature").layers or ()
    return tuple(each.digest for each in layers if (each.media_type or "").startswith(BUNDLE))


def check(
    found: Iterable[bytes], digest: str, name: str, *, identity: str, issuer: str, trusted_root: Path
) -> None:
    """Raise ProvenanceError unless one of the bundles is a signature of digest by identity.

    identity: the subject of the certificate, as issuer confirmed it; both are compared exactly.
    """
    from sigstore.verify import policy as identities

    verifier = _verifier(trusted_root)
    required = identities.Identity(identity=identity, issuer=issuer)
    refused = []
    for each in found:
        why = _refused(each, digest, lambda bundle: verifier.verify_dsse(bundle, required))
        if why is None:
            return
        refused.append(why)
    shown = "; ".join(dict.fromkeys(refused)) or "it has no keyless signature"
    raise ProvenanceError(
        f"{name}@{digest} is not signed as the policy requires: {shown}",
        hint=f"ask its owner; the policy requires a signature by {identity} (issuer {issuer})",
    )


def _refused(data: bytes, digest: str, verified: Callable[[Bundle], tuple[str, bytes]]) -> str | None:
    """Why a bundle is not accepted; None if it is."""
    from sigstore.errors import Error as SigstoreError
    from sigstore.models import Bundle

    try:
        kind, payload = verified(Bundle.from_json(data))
    except SigstoreError as e:
        return f"a signature is not valid ({str(e).splitlines()[0]})"
    except (ValueError, KeyError, TypeError) as e:
        return f"a signature is broken ({type(e).__name__})"
    if kind != _STATEMENT:
        return f"a signature is over {kind}"
    try:
        statement = msgspec.json.decode(payload, type=_Statement)
    except (ValueError, RecursionError) as e:
        return f"a signature is broken ({type(e).__name__})"
    if statement.predicate_type != _SIGNED:
        return f"a statement is not a signature but {statement.predicate_type}"
    subjects = [subject.digest.get("sha256", "") for subject in statement.subject]
    if digest.removeprefix("sha256:") not in subjects:
        return f"a signature is for {', '.join(f'sha256:{each}' for each in subjects)}"
    return None


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
