# SPDX-License-Identifier: Apache-2.0
"""Check the signature that a policy's rule requires of an image: cosign key, keyless identity, or GPG."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from goldsmith.containers import blobs, cosign, cosign_keyless
from goldsmith.containers.policy import Rule
from goldsmith.containers.skopeo import Skopeo
from goldsmith.core import cache, progress
from goldsmith.errors import BuildError, ProvenanceError


def require_of_reference(source: Skopeo, digest: str, rule: Rule) -> None:
    """The signatures of what a spec pins, be it an index or an image. Raises ProvenanceError."""
    if (key := rule.sigstore_key) is not None:
        _once(rule, source, digest, functools.partial(_check_cosign, source, digest, key))
    if rule.trusted_root is not None:
        _once(
            rule, source, digest, functools.partial(_check_keyless, source, digest, rule, rule.trusted_root)
        )


def require_of_image(source: Skopeo, digest: str, rule: Rule) -> None:
    """The signature of the image itself: skopeo checks none on an index. Raises ProvenanceError."""
    if rule.gpg_key is not None:
        _once(rule, source, digest, functools.partial(_check_gpg, source, digest, rule))


def _once(rule: Rule, source: Skopeo, digest: str, check: Callable[[], None]) -> None:
    """Remember what a rule has allowed: check again only after the rule or its key has changed."""
    key = hashlib.sha256(f"{rule.fingerprint()} {source.name}@{digest}".encode()).hexdigest()
    with progress.share("signatures"):
        cache.cached("allowed", key, lambda _: check())


def _check_cosign(source: Skopeo, digest: str, key: Path) -> None:
    """Raise ProvenanceError unless the registry has a signature by key beside the image."""
    with tempfile.TemporaryDirectory(dir=source.run.folder) as scratch:
        stored = Path(scratch) / "signatures"
        try:
            source.copy(f":{cosign.tag(digest)}", stored)
        except BuildError as e:
            raise ProvenanceError(
                f"{source.name}@{digest} has no signature; the policy requires one by {key.name}",
                hint=str(e),
            ) from e
        cosign.check(stored, digest, source.name, key)


def _check_keyless(source: Skopeo, digest: str, rule: Rule, trusted_root: Path) -> None:
    """Raise ProvenanceError unless the registry has a signature by the rule's identity beside the image."""
    try:
        listed = cosign_keyless.bundles(source.manifest(f":{cosign_keyless.tag(digest)}"))
    except BuildError:  # nothing refers to the image
        listed = ()
    found = []
    for manifest in listed:
        with tempfile.TemporaryDirectory(dir=source.run.folder) as scratch:
            bundle = Path(scratch) / "bundle"
            blobs.fetch(source, manifest, bundle)
            names = cosign_keyless.blobs((bundle / "manifest.json").read_bytes())
            found += [(bundle / blobs.hex_of(name)).read_bytes() for name in names]
    cosign_keyless.check(
        found, digest, source.name, identity=rule.identity, issuer=rule.issuer, trusted_root=trusted_root
    )


def _check_gpg(source: Skopeo, digest: str, rule: Rule) -> None:
    """Raise ProvenanceError unless skopeo finds a signature by one of the rule's keys."""
    with tempfile.TemporaryDirectory(dir=source.run.folder) as scratch:
        try:
            source.copy_signed(digest, rule, Path(scratch))
        except BuildError as e:
            raise ProvenanceError(
                f"{source.name}@{digest} is not signed as the policy requires: {str(e).splitlines()[-1]}",
                hint="ask its owner; see docs/provenance.md",
            ) from e
