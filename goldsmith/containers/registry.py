# SPDX-License-Identifier: Apache-2.0
"""Pull images from registries by digest: check policy, signature, architecture and every byte."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.containers import cosign, cosign_keyless, oci
from goldsmith.containers.policy import Policy, Rule
from goldsmith.containers.skopeo import Skopeo
from goldsmith.core import cache, files, progress
from goldsmith.core.scratch import Run
from goldsmith.errors import BuildError, ProvenanceError

_TAG_S = 60
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_INDEXES = (oci.OCI_INDEX, oci.DOCKER_LIST)
_NOT_TRUSTED = "do not use this registry until its owner has checked it"


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
    if (key := rule.sigstore_key) is not None:
        _once(rule, name, digest, functools.partial(_check_cosign, source, digest, key))
    if rule.trusted_root is not None:
        _once(rule, name, digest, functools.partial(_check_keyless, source, digest, rule, rule.trusted_root))
    raw = _manifest(source, digest)
    index_digest = None
    if _media_type(raw) in _INDEXES:
        index_digest, digest = digest, _platform(json.loads(raw), reference, arch)
    if rule.gpg_key is not None:  # on the image itself: skopeo checks none on an index
        _once(rule, name, digest, functools.partial(_check_gpg, source, digest, rule))
    folder = cache.cached("registry", _hex(digest), functools.partial(_fetch, source, digest))
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


def _once(rule: Rule, name: str, digest: str, check: Callable[[], None]) -> None:
    """Remember what a rule has allowed: check again only after the rule or its key has changed."""
    key = hashlib.sha256(f"{rule.fingerprint()} {name}@{digest}".encode()).hexdigest()
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
            _fetch(source, manifest, bundle)
            names = cosign_keyless.blobs((bundle / "manifest.json").read_bytes())
            found += [(bundle / _hex(name)).read_bytes() for name in names]
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


def _fetch(source: Skopeo, digest: str, target: Path) -> None:
    """Fill target with manifest.json and blobs (named by their hex digest), all of them checked."""
    source.copy(digest, target)
    (target / "version").unlink()
    manifest = (target / "manifest.json").read_bytes()
    _compare(oci.sha256(manifest), digest, source.name)
    for blob in _descriptors(json.loads(manifest)):
        path = target / _hex(blob["digest"])
        _compare(f"sha256:{files.sha256_of(path)}", blob["digest"], source.name)


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
        _compare(oci.sha256(raw), digest, source.name)
        (new / "manifest.json").write_bytes(raw)

    return (cache.cached("registry-manifest", _hex(digest), fetch) / "manifest.json").read_bytes()


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
            f"the index {reference} lists an image without a valid digest: {found!r}", hint=_NOT_TRUSTED
        )
    return found


def _read(folder: Path, index_digest: str | None, reference: str) -> Pulled:
    manifest = (folder / "manifest.json").read_bytes()
    parsed = json.loads(manifest)
    config_size = parsed["config"]["size"]
    config_digest = parsed["config"]["digest"]
    config = json.loads((folder / _hex(config_digest)).read_bytes())
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
        blobs={blob["digest"]: folder / _hex(blob["digest"]) for blob in _descriptors(parsed)},
    )


def _media_type(manifest: bytes) -> str:
    """mediaType is optional in OCI manifests and indexes; what they hold tells them apart."""
    parsed = json.loads(manifest)
    return str(parsed.get("mediaType") or (oci.OCI_INDEX if "manifests" in parsed else oci.OCI_MANIFEST))


def _descriptors(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if manifest.get("schemaVersion") != 2 or "config" not in manifest:
        raise BuildError(
            "the registry serves a manifest of schema version 1, which is too old",
            hint="push the image again with a current docker, podman or skopeo",
        )
    return [manifest["config"], *manifest["layers"]]


def _compare(found: str, expected: str, name: str) -> None:
    if found != expected:
        raise BuildError(f"{name} serves content of {found}, expected {expected}", hint=_NOT_TRUSTED)


def _hex(digest: str) -> str:
    return digest.partition(":")[2]
