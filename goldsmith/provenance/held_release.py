# SPDX-License-Identifier: Apache-2.0
"""Check a release without its files: what its record and the cloud have of it, and a public key."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from securesystemslib.signer import Key

from goldsmith.core import files
from goldsmith.errors import ProvenanceError
from goldsmith.image import manifest, packages
from goldsmith.image.manifest import Manifest
from goldsmith.image.packages import PackageList
from goldsmith.provenance import release_check
from goldsmith.provenance.attestation import FILE
from goldsmith.provenance.release_check import READ_ERRORS, Check, ReleaseCheck
from goldsmith.provenance.statement import Statement
from goldsmith.scan import sbom


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldRelease:
    """A release as a cloud holds it. algorithm, digest: of its image, None where the cloud keeps none.

    build_id: as the image says. manifest and packages as JSON data; bill and statement as text, None where
    they were not kept.
    """

    build_id: str
    manifest: Mapping[str, Any]
    packages: Mapping[str, Any]
    bill: str | None
    statement: str | None
    image_format: str
    algorithm: str | None
    digest: str | None

    def texts(self) -> Iterator[tuple[str, bytes]]:
        """The files that are held, as goldsmith wrote them."""
        yield manifest.FILE, files.json_bytes(self.manifest)
        yield packages.FILE, files.json_bytes(self.packages)
        if self.bill is not None:
            yield sbom.FILE, self.bill.encode()

    def documents(self) -> tuple[Manifest, PackageList, str]:
        """Manifest, package list, and hex sha256 of the manifest's file. Raises ProvenanceError."""
        made = Manifest.parse(self.manifest, manifest.FILE, error=ProvenanceError)
        listed = PackageList.parse(self.packages, packages.FILE, error=ProvenanceError)
        return made, listed, hashlib.sha256(files.json_bytes(self.manifest)).hexdigest()


def check(held: HeldRelease, key: Key) -> tuple[ReleaseCheck, str | None]:
    """The checks, and the builder that a valid statement names. Whatever is wrong is a failed check."""
    if held.statement is None:
        why = "the record holds no signed statement: published unsigned, or by an older goldsmith"
        return ReleaseCheck.of(Check(name="statement", ok=False, detail=why)), None
    try:
        found = release_check.read_statement(held.statement.encode(), key, FILE)
        digests, builder = found.subjects, found.builder
    except ProvenanceError as e:
        return ReleaseCheck.of(Check(name="signature", ok=False, detail=str(e))), None
    except READ_ERRORS as e:
        return ReleaseCheck.of(Check(name="statement", ok=False, detail=f"{type(e).__name__}: {e}")), None
    checks = [Check(name="signature", ok=True, detail=f"key {key.keyid[:16]}, builder {builder}")]
    checks += [_text(name, data, digests) for name, data in held.texts()]
    checks += [_image(held, found), _build(held)]
    if all(each.ok for each in checks):
        checks += release_check.claims(found, held.documents)
    return ReleaseCheck.of(*checks), builder


def _text(name: str, data: bytes, digests: Mapping[str, Mapping[str, str]]) -> Check:
    sha256 = hashlib.sha256(data).hexdigest()
    if digests.get(name, {}).get("sha256") != sha256:
        return Check(name=name, ok=False, detail=f"differs from the signed file: its sha256 is {sha256}")
    return Check(name=name, ok=True, detail=f"sha256 {sha256}")


def _build(held: HeldRelease) -> Check:
    """The record is not that of another release, which may be signed too."""
    made = held.manifest.get("build_id")
    ok = made == held.build_id
    return Check(
        name="build", ok=ok, detail=held.build_id if ok else f"{made}, but the image says {held.build_id}"
    )


def _image(held: HeldRelease, found: Statement) -> Check:
    """The image has the hash of a disk of the statement."""
    if held.algorithm is None or held.digest is None:
        return Check(name="image", ok=False, detail="the cloud keeps no hash of it: add --download")
    shown = f"{held.algorithm} {held.digest}"
    for name, digest in found.subjects.items():
        if digest.get(held.algorithm) == held.digest:
            return Check(name="image", ok=True, detail=f"{name}, {shown}")
    if not any(name.endswith(f".{held.image_format}") for name in found.subjects):
        why = f"it is {held.image_format}, which was converted from the signed disk when it was published"
        return Check(name="image", ok=False, detail=f"{why}: add {held.image_format} to disk.formats")
    return Check(name="image", ok=False, detail=f"{shown} is that of no file of the statement")
