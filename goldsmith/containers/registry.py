# SPDX-License-Identifier: Apache-2.0
"""Images from registries, by digest: skopeo fetches, every byte is compared with the digest asked for."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.containers import cosign, cosign_keyless, oci, policy, skopeo
from goldsmith.containers.policy import Policy, Rule
from goldsmith.core import cache, files, proc, progress
from goldsmith.core.scratch import Run
from goldsmith.errors import BuildError, CommandError, ProvenanceError

_TIMEOUT_S = 1800
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
    source = _Source(name=name, run=run, log_path=log_path)
    rule = policy.rule(f"{name}@{digest}")
    if (key := rule.sigstore_key) is not None:
        _once(rule, name, digest, lambda: source.check_cosign(digest, key))
    if rule.trusted_root is not None:
        _once(rule, name, digest, functools.partial(source.check_keyless, digest, rule, rule.trusted_root))
    raw = _manifest(source, digest)
    index_digest = None
    if _media_type(raw) in _INDEXES:
        index_digest, digest = digest, _platform(json.loads(raw), reference, arch)
    if rule.gpg_key is not None:  # on the image itself: skopeo asks for none on an index
        _once(rule, name, digest, functools.partial(source.check_gpg, digest, rule))
    folder = cache.cached("registry", _hex(digest), lambda new: source.fetch(digest, new))
    pulled = _read(folder, index_digest, reference)
    _require_architecture(json.loads(pulled.blobs[pulled.config.digest].read_bytes()), reference, arch)
    return pulled


def _once(rule: Rule, name: str, digest: str, check: Callable[[], None]) -> None:
    """What a rule has allowed is not asked for again, until the rule or its key changes."""
    key = hashlib.sha256(f"{rule.fingerprint()} {name}@{digest}".encode()).hexdigest()
    with progress.share("signatures"):
        cache.cached("allowed", key, lambda _: check())


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    name: str
    run: Run
    log_path: Path

    def raw(self, digest: str, *, timeout_s: float = _TIMEOUT_S) -> bytes:
        tls = self._tls("--tls-verify")
        return self._skopeo("inspect", digest, "--raw", *tls, out=True, timeout_s=timeout_s).encode()

    def fetch(self, digest: str, target: Path) -> None:
        """Fill target with manifest.json and blobs (named by their hex digest), all of them checked."""
        self._skopeo(
            "copy", digest, "--quiet", "--preserve-digests", *self._tls("--src-tls-verify"), to=target
        )
        (target / "version").unlink()
        manifest = (target / "manifest.json").read_bytes()
        _compare(oci.sha256(manifest), digest, self.name)
        for blob in _descriptors(json.loads(manifest)):
            path = target / _hex(blob["digest"])
            _compare(f"sha256:{files.sha256_of(path)}", blob["digest"], self.name)

    def check_cosign(self, digest: str, key: Path) -> None:
        """Raise ProvenanceError unless the registry has a signature by key beside the image."""
        with tempfile.TemporaryDirectory(dir=self.run.folder) as scratch:
            stored = Path(scratch) / "signatures"
            try:
                self._skopeo(
                    "copy", f":{cosign.tag(digest)}", "--quiet", "--preserve-digests",
                    *self._tls("--src-tls-verify"), to=stored,
                )  # fmt: skip
            except BuildError as e:
                raise ProvenanceError(
                    f"{self.name}@{digest} has no signature, and the policy wants one by {key.name}",
                    hint=str(e),
                ) from e
            cosign.check(stored, digest, self.name, key)

    def check_keyless(self, digest: str, rule: Rule, trusted_root: Path) -> None:
        """Raise ProvenanceError unless the registry has a signature by identity beside the image."""
        try:
            listed = cosign_keyless.bundles(self.raw(f":{cosign_keyless.tag(digest)}"))
        except BuildError:  # nothing refers to the image
            listed = ()
        found = []
        for manifest in listed:
            with tempfile.TemporaryDirectory(dir=self.run.folder) as scratch:
                self.fetch(manifest, Path(scratch) / "bundle")
                names = cosign_keyless.blobs((Path(scratch) / "bundle/manifest.json").read_bytes())
                found += [(Path(scratch) / "bundle" / _hex(name)).read_bytes() for name in names]
        cosign_keyless.check(
            found, digest, self.name, identity=rule.identity, issuer=rule.issuer, trusted_root=trusted_root
        )

    def check_gpg(self, digest: str, rule: Rule) -> None:
        """Raise ProvenanceError unless skopeo finds a signature by one of the rule's keys."""
        with tempfile.TemporaryDirectory(dir=self.run.folder) as scratch:
            words = policy.skopeo_files(rule, Path(scratch))
            try:
                self._skopeo(
                    "copy", digest, "--quiet", *self._tls("--src-tls-verify"),
                    to=Path(scratch) / "image", policy=words,
                )  # fmt: skip
            except BuildError as e:
                raise ProvenanceError(
                    f"{self.name}@{digest} is not signed as the policy wants it: {str(e).splitlines()[-1]}",
                    hint="ask its owner; see docs/provenance.md",
                ) from e

    def _skopeo(
        self,
        verb: str,
        which: str,
        *options: str,
        out: bool = False,
        to: Path | None = None,
        policy: Sequence[str] = (),
        timeout_s: float = _TIMEOUT_S,
    ) -> str:
        """which: a digest, or a tag behind a colon."""
        address = f"docker://{self.name}{which if which.startswith(':') else f'@{which}'}"
        argv: list[proc.Arg] = ["skopeo", *policy, verb, *options, *self._auth(), address]
        if to is not None:
            argv.append(f"dir:{to}")
        try:
            if out:
                return proc.capture(argv, timeout_s=timeout_s)
            proc.run(argv, log_path=self.log_path, timeout_s=timeout_s)
        except CommandError as e:
            raise skopeo.explain(e, self.name, which) from e
        return ""

    def _tls(self, option: str) -> tuple[str, ...]:
        return (f"{option}=false",) if skopeo.is_loopback(skopeo.host_of(self.name)) else ()

    def _auth(self) -> tuple[str, ...]:
        content = skopeo.credentials(skopeo.host_of(self.name))
        if content is None:
            return ()
        path = self.run.folder / "registry-auth.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(content))
        return ("--authfile", str(path))


def tagged(reference: str, *, run: Run, log_path: Path) -> tuple[str, ...]:
    """What the tag in NAME[:TAG]@... stands for now: a digest and, of an index, those of its images too.

    Empty without a tag. Raises BuildError, and HostError without skopeo.
    """
    bare = reference.partition("@")[0]
    tag = bare.rpartition("/")[2].partition(":")[2]
    if not tag:
        return ()
    source = _Source(name=oci.repository(bare), run=run, log_path=log_path)
    raw = source.raw(f":{tag}", timeout_s=_TAG_S)
    return (oci.sha256(raw), *(str(each.get("digest")) for each in json.loads(raw).get("manifests", ())))


def is_pinned(reference: str) -> bool:
    """It names an image by digest."""
    return "@sha256:" in reference


def _split(reference: str) -> tuple[str, str]:
    name, _, digest = reference.partition("@")
    if not _DIGEST.fullmatch(digest):
        raise BuildError(
            f"{reference} does not say which image it means",
            hint=f"pin it: skopeo inspect docker://{name} shows the digest to append as @sha256:...",
        )
    return oci.repository(name), digest


def _manifest(source: _Source, digest: str) -> bytes:
    def fetch(new: Path) -> None:
        raw = source.raw(digest)
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
    """An image that is pinned itself, without an index, may be another machine's."""
    found = config.get("architecture")
    if found != arch:
        raise BuildError(
            f"{reference} is an image for {found}, not for {arch}",
            hint="pin the digest of the index, or that of the image for this architecture",
        )


def _digest(found: object, reference: str) -> str:
    """A digest out of a document that a registry serves: it becomes a name in the cache."""
    if not isinstance(found, str) or not _DIGEST.fullmatch(found):
        raise BuildError(
            f"{reference} lists what is no digest: {found!r}",
            hint="do not use this registry until its owner has looked at it",
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
        raise BuildError(f"{reference} is no container image", hint="pin an image, not an artifact") from e
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
            "the registry serves a manifest of schema 1", hint="push the image anew: it is too old"
        )
    return [manifest["config"], *manifest["layers"]]


def _compare(found: str, wanted: str, name: str) -> None:
    if found != wanted:
        raise BuildError(
            f"{name} serves {found} where {wanted} was asked for",
            hint="do not use this registry until its owner has looked at it",
        )


def _hex(digest: str) -> str:
    return digest.partition(":")[2]
