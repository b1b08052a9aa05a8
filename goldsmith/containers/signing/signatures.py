# SPDX-License-Identifier: Apache-2.0
"""Check the signature that a policy's rule requires of an image: cosign key, keyless identity, or GPG."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from goldsmith.containers import blobs, manifests, oci, skopeo
from goldsmith.containers.manifests import Descriptor, Manifest
from goldsmith.containers.policy import Rule
from goldsmith.containers.signing import bundles, cosign, cosign_keyless, referrers
from goldsmith.containers.skopeo import Skopeo
from goldsmith.core import cache, progress
from goldsmith.errors import BuildError, ProvenanceError

_EMPTY = "application/vnd.oci.empty.v1+json"  # of a configuration; some registries take it for the kind
_TAG_S = 60.0
_MOST = 100  # manifests that are read for one image
_LARGEST = 4 << 20  # bytes of a signature


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
    accept = cosign.checker(key, digest, source.name)
    tags = (referrers.tag(digest), cosign.tag(digest))
    beside = _Beside(source, digest, tags, (cosign.KIND, bundles.BUNDLE))
    _require_one(beside, accept, f"the key {key.name}")


def _check_keyless(source: Skopeo, digest: str, rule: Rule, trusted_root: Path) -> None:
    """Raise ProvenanceError unless the registry has a signature by the rule's identity beside the image."""
    accept = cosign_keyless.checker(
        digest, identity=rule.identity, issuer=rule.issuer, trusted_root=trusted_root
    )
    beside = _Beside(source, digest, (referrers.tag(digest),), (bundles.BUNDLE,))
    _require_one(beside, lambda _, data: accept(data), f"{rule.identity} (issuer {rule.issuer})")


def _require_one(beside: _Beside, accept: Callable[[Descriptor, bytes], None], signer: str) -> None:
    """Raise ProvenanceError unless accept takes one of the signatures."""
    refused: list[str] = []
    for layer, data in beside.signatures():
        try:
            accept(layer, data)
        except bundles.NotAcceptedError as e:
            refused.append(str(e))
        else:
            return
    shown = "; ".join(dict.fromkeys(refused)) or "it has no signature"
    places = "".join(f"\n  | {line}" for line in beside.looked)
    raise ProvenanceError(
        f"{beside.source.name}@{beside.digest} is not signed as the policy requires: {shown}{places}",
        hint=f"ask its owner; the policy requires a signature by {signer}",
    )


@dataclass(frozen=True, slots=True)
class _Beside:
    """Where signatures of an image can be: among its referrers, and under tags that its digest gives.

    kinds: starts of the media types of signatures. looked: what was found where, for a message.
    """

    source: Skopeo
    digest: str
    tags: tuple[str, ...]
    kinds: tuple[str, ...]
    looked: list[str] = field(default_factory=list)

    def signatures(self) -> Iterator[tuple[Descriptor, bytes]]:
        """Each blob of these kinds, with its descriptor."""
        read: set[str] = set()
        for manifest in self._manifests():
            if manifest in read:
                continue
            read.add(manifest)
            if len(read) > _MOST:
                self.looked.append(
                    f"more than {_MOST} manifests may hold signatures; the others were not read"
                )
                return
            try:
                yield from self._blobs(manifest)
            except BuildError as e:
                self.looked.append(_first_line(e))

    def _manifests(self) -> Iterator[str]:
        """Digests of manifests that may hold a signature, from one place after the other."""
        found = 0
        try:
            for entry in referrers.listed(self.source.name, self.digest):
                found += 1
                yield from _may_hold(entry)
            self.looked.append(f"{skopeo.host_of(self.source.name)} lists the image's referrers: {found}")
        except referrers.NotListedError as e:
            self.looked.append(str(e))
        for tag in self.tags:
            try:
                raw = self.source.manifest(f":{tag}", timeout_s=_TAG_S)
                entries = manifests.manifest(raw, f"{self.source.name}:{tag}").manifests
            except BuildError as e:
                self.looked.append(_first_line(e))
                continue
            self.looked.append(f"{self.source.name}:{tag} exists")
            if entries is None:
                yield oci.sha256(raw)
            for entry in entries or ():
                yield from _may_hold(entry)

    def _blobs(self, digest: str) -> Iterator[tuple[Descriptor, bytes]]:
        name = f"{self.source.name}@sha256:{blobs.hex_of(digest)}"
        manifest = manifests.manifest(self.source.manifest(digest), name)
        if not self._layers(manifest):
            return
        _require_small(name, *(each.size for each in blobs.descriptors(manifest)))
        with tempfile.TemporaryDirectory(dir=self.source.run.folder) as scratch:
            stored = Path(scratch) / "signature"
            blobs.fetch(self.source, digest, stored)
            for layer in self._layers(manifests.manifest((stored / "manifest.json").read_bytes(), name)):
                blob = stored / blobs.hex_of(layer.digest)
                _require_small(name, blob.stat().st_size)
                yield layer, blob.read_bytes()

    def _layers(self, manifest: Manifest) -> list[Descriptor]:
        return [each for each in manifest.layers or () if (each.media_type or "").startswith(self.kinds)]


def _require_small(name: str, *sizes: int) -> None:
    if max(sizes) > _LARGEST:
        raise BuildError(
            f"{name} is larger than a signature", hint="remove it from the registry and sign the image again"
        )


def _may_hold(entry: Descriptor) -> tuple[str, ...]:
    """The digest of a manifest, unless it is of another kind; some registries do not tell the kind."""
    kind = entry.artifact_type or _EMPTY
    return (entry.digest,) if kind in (_EMPTY, cosign.ARTIFACT) or kind.startswith(bundles.BUNDLE) else ()


def _first_line(error: BuildError) -> str:
    return str(error).partition("\n")[0]


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
