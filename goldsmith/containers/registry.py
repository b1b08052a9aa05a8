# SPDX-License-Identifier: Apache-2.0
"""Pull images from registries by digest: check policy, signature, architecture and every byte."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.containers import blobs, oci, signatures
from goldsmith.containers.policy import Policy
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
    if _media_type(raw) in _INDEXES:
        index_digest, digest = digest, _platform(json.loads(raw), reference, arch)
    signatures.require_of_image(source, digest, rule)
    folder = cache.cached("registry", blobs.hex_of(digest), functools.partial(blobs.fetch, source, digest))
    pulled = _read(folder, index_digest, reference)
    _require_architecture(json.loads(pulled.blobs[pulled.config.digest].read_bytes()), reference, arch)
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
    return (oci.sha256(raw), *(str(each.get("digest")) for each in json.loads(raw).get("manifests", ())))


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


def _platform(index: Mapping[str, Any], reference: str, arch: str) -> str:
    for entry in index.get("manifests", []):
        platform = entry.get("platform", {})
        if (platform.get("os"), platform.get("architecture")) == ("linux", arch):
            return _digest(entry.get("digest"), reference)
    raise BuildError(
        f"{reference} has no image for linux/{arch}", hint="choose another image or architecture"
    )


def _require_architecture(config: Mapping[str, Any], reference: str, arch: str) -> None:
    """An image that is pinned itself, without an index, may be for another architecture."""
    found = config.get("architecture")
    if found != arch:
        raise BuildError(
            f"{reference} is an image for {found}, not for {arch}",
            hint="pin the digest of the index, or that of the image for this architecture",
        )


def _digest(found: object, reference: str) -> str:
    """A valid digest from a registry's index; it becomes a file name in the cache."""
    if not isinstance(found, str) or not _DIGEST.fullmatch(found):
        raise BuildError(
            f"the index {reference} lists an image without a valid digest: {found!r}", hint=blobs.NOT_TRUSTED
        )
    return found


def _read(folder: Path, index_digest: str | None, reference: str) -> Pulled:
    manifest = (folder / "manifest.json").read_bytes()
    parsed = json.loads(manifest)
    config_size = parsed["config"]["size"]
    config_digest = parsed["config"]["digest"]
    config = json.loads((folder / blobs.hex_of(config_digest)).read_bytes())
    try:
        diff_ids = config["rootfs"]["diff_ids"]
        layers = tuple(
            oci.Layer(digest=layer["digest"], size=layer["size"], diff_id=diff_id)
            for layer, diff_id in zip(parsed["layers"], diff_ids, strict=True)
        )
    except (KeyError, TypeError, ValueError) as e:
        raise BuildError(
            f"{reference} is not a container image", hint="pin an image, not another kind of artifact"
        ) from e
    return Pulled(
        manifest=manifest,
        media_type=_media_type(manifest),
        index_digest=index_digest,
        config=oci.Layer(digest=config_digest, size=config_size, diff_id=config_digest),
        layers=layers,
        blobs={blob["digest"]: folder / blobs.hex_of(blob["digest"]) for blob in blobs.descriptors(parsed)},
    )


def _media_type(manifest: bytes) -> str:
    """mediaType is optional in OCI manifests and indexes; what they hold tells them apart."""
    parsed = json.loads(manifest)
    return str(parsed.get("mediaType") or (oci.OCI_INDEX if "manifests" in parsed else oci.OCI_MANIFEST))
