# SPDX-License-Identifier: Apache-2.0
"""Pull images from registries by digest: check policy, signature, architecture and every byte."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from goldsmith.containers import blobs, manifests, oci
from goldsmith.containers.manifests import Config, Manifest, Platform
from goldsmith.containers.policy import Policy
from goldsmith.containers.signing import signatures
from goldsmith.containers.skopeo import Skopeo
from goldsmith.core import cache
from goldsmith.core.runs import Run
from goldsmith.errors import BuildError

_TAG_S = 60
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_INDEXES = (oci.OCI_INDEX, oci.DOCKER_LIST)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pulled:
    """A platform's image as the registry has it, and where its blobs are, by digest."""

    manifest: bytes
    media_type: str
    index_digest: str | None
    config: oci.Layer
    layers: tuple[oci.Layer, ...]
    blobs: Mapping[str, Path]


def pull(reference: str, *, arch: str, policy: Policy, run: Run, log_path: Path) -> Pulled:
    """The image NAME[:TAG]@sha256:DIGEST; of an index, the manifest of linux/arch.

    Raises BuildError, and ProvenanceError for an image that the policy does not allow.
    """
    name, digest = _split(reference)
    source = Skopeo(name=name, run=run, log_path=log_path)
    rule = policy.rule(f"{name}@{digest}")
    signatures.require_of_reference(source, digest, rule)
    raw = _manifest(source, digest)
    index_digest = None
    if _media_type(raw, reference) in _INDEXES:
        index_digest, digest = digest, _platform(manifests.manifest(raw, reference), reference, arch)
    signatures.require_of_image(source, digest, rule)
    folder = cache.cached("registry", blobs.hex_of(digest), functools.partial(blobs.fetch, source, digest))
    pulled = _read(folder, index_digest, reference)
    config = manifests.config(pulled.blobs[pulled.config.digest].read_bytes(), reference)
    _require_architecture(config, reference, arch)
    return pulled


def tagged(reference: str, *, run: Run, log_path: Path) -> tuple[str, ...]:
    """The digest that the tag in NAME[:TAG]@... has now and, of an index, those of its images too.

    Empty without a tag. Raises BuildError, and HostError without skopeo.
    """
    bare = reference.partition("@")[0]
    tag = bare.rpartition("/")[2].partition(":")[2]
    if not tag:
        return ()
    source = Skopeo(name=oci.repository(bare), run=run, log_path=log_path)
    raw = source.manifest(f":{tag}", timeout_s=_TAG_S)
    return (oci.sha256(raw), *(each.digest for each in manifests.manifest(raw, bare).manifests or ()))


def require_allowed(reference: str, policy: Policy) -> None:
    """Raise ProvenanceError unless the policy has a rule for the image; pull() checks the signature."""
    name, digest = _split(reference)
    policy.rule(f"{name}@{digest}")


def is_pinned(reference: str) -> bool:
    """It names an image by digest."""
    return "@sha256:" in reference


def _split(reference: str) -> tuple[str, str]:
    name, _, digest = reference.partition("@")
    if not _DIGEST.fullmatch(digest):
        raise BuildError(
            f"{reference} is not pinned by a digest",
            hint=f"pin it: skopeo inspect docker://{name} shows the digest to append as @sha256:...",
        )
    return oci.repository(name), digest


def _manifest(source: Skopeo, digest: str) -> bytes:
    def fetch(new: Path) -> None:
        raw = source.manifest(digest)
        blobs.compare(oci.sha256(raw), digest, source.name)
        (new / "manifest.json").write_bytes(raw)

    return (cache.cached("registry-manifest", blobs.hex_of(digest), fetch) / "manifest.json").read_bytes()


def _platform(index: Manifest, reference: str, arch: str) -> str:
    for entry in index.manifests or ():
        if entry.platform is not None and entry.platform == Platform(os="linux", architecture=arch):
            return _digest(entry.digest, reference)
    raise BuildError(
        f"{reference} has no image for linux/{arch}", hint="choose another image or architecture"
    )


def _require_architecture(config: Config, reference: str, arch: str) -> None:
    """An image that is pinned itself, without an index, may be for another architecture."""
    if config.architecture != arch:
        raise BuildError(
            f"{reference} is an image for {config.architecture}, not for {arch}",
            hint="pin the digest of the index, or that of the image for this architecture",
        )


def _digest(found: str, reference: str) -> str:
    """A valid digest from a registry's index; it becomes a file name in the cache."""
    if not _DIGEST.fullmatch(found):
        raise BuildError(
            f"the index {reference} lists an image without a valid digest: {found!r}", hint=blobs.NOT_TRUSTED
        )
    return found


def _read(folder: Path, index_digest: str | None, reference: str) -> Pulled:
    data = (folder / "manifest.json").read_bytes()
    parsed = manifests.manifest(data, reference)
    described, *listed = blobs.descriptors(parsed)
    config = manifests.config((folder / blobs.hex_of(described.digest)).read_bytes(), reference)
    if len(config.rootfs.diff_ids) != len(listed):
        raise BuildError(
            f"{reference} is not a container image", hint="pin an image, not another kind of artifact"
        )
    return Pulled(
        manifest=data,
        media_type=_media_type(data, reference),
        index_digest=index_digest,
        config=oci.Layer(digest=described.digest, size=described.size, diff_id=described.digest),
        layers=tuple(
            oci.Layer(digest=layer.digest, size=layer.size, diff_id=diff_id)
            for layer, diff_id in zip(listed, config.rootfs.diff_ids, strict=True)
        ),
        blobs={each.digest: folder / blobs.hex_of(each.digest) for each in (described, *listed)},
    )


def _media_type(data: bytes, reference: str) -> str:
    """mediaType is optional in OCI manifests and indexes; what they hold tells them apart."""
    parsed = manifests.manifest(data, reference)
    return parsed.media_type or (oci.OCI_INDEX if parsed.manifests is not None else oci.OCI_MANIFEST)
