# SPDX-License-Identifier: Apache-2.0
"""Sign a verified build: write its signed statement, and OpenStack's image signatures, beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from goldsmith.core import build_folders, files
from goldsmith.core.documents import Document, about
from goldsmith.errors import ProvenanceError, PublishError, SpecError
from goldsmith.image import finished_build, manifest, packages
from goldsmith.image.packages import PackageList
from goldsmith.provenance import dsse, glance_signature, statement
from goldsmith.provenance.glance_signature import ImageSignature, ImageSignatures
from goldsmith.spec import load

FILE = "provenance.intoto.json"
BUNDLE = "provenance.sigstore.json"  # the same envelope, as cosign takes it
BUILDER = "GOLDSMITH_BUILDER"  # variable of the environment


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedAnswer(Document):
    """The answer of sign --json."""

    SCHEMA: ClassVar[str] = "goldsmith.signed"

    statement: Annotated[str, about("Path of the signed statement.")]
    bundle: Annotated[
        str | None,
        about("Path of its Sigstore bundle for cosign; null for keys that cosign does not take."),
    ] = None
    key: Annotated[str, about("ID of the key: hex sha256 of its public part.")]
    properties: Annotated[
        Mapping[str, ImageSignature],
        about("Properties for Glance by disk image; empty without --certificate."),
    ]

    def as_text(self) -> str:
        """For a person."""
        lines = [f"signed by the key {self.key[:16]}: {self.statement}"]
        for disk, made in self.properties.items():
            lines += [f"{disk}:", *(f"  {name}={value}" for name, value in made.as_properties().items())]
        return "\n".join(lines)


def sign_build(
    out: Path, name: str, build: str, key: Path | None, *, builder: str, accepted: str, certificate: str
) -> SignedAnswer:
    """Sign a build below out. Raises SpecError and ProvenanceError."""
    if key is None:
        raise SpecError(
            "no private key is given",
            hint="add --key release.key; make one: openssl genpkey -algorithm ed25519 -out release.key",
        )
    who = builder or os.environ.get(BUILDER, "")
    if ":" not in who:
        raise SpecError(
            "no builder is given: a statement names who built it, by a URI",
            hint=f"add --builder https://ci.example.org/nightly, or set {BUILDER}",
        )
    folder = build_folders.find_build(out, load.name_of(name), build)
    private = dsse.private_key(key)
    disks = finished_build.read(folder, error=ProvenanceError).manifest.disks
    properties = {
        disk.file: glance_signature.sign(folder / disk.file, private, certificate)
        for disk in disks
        if certificate
    }
    if certificate:
        by_hash = {disk.sha256: properties[disk.file] for disk in disks}
        glance_signature.keep(folder, ImageSignatures(images=by_hash))
    signed = sign(folder, private, builder=who, accepted=accepted or None)
    bundle = folder / BUNDLE
    return SignedAnswer(
        statement=str(signed), bundle=str(bundle) if bundle.exists() else None, key=dsse.key_id(private),
        properties=properties,
    )  # fmt: skip


def sign(folder: Path, private: PrivateKeyTypes, *, builder: str, accepted: str | None = None) -> Path:
    """Write the signed statement over a verified build into its folder, and its bundle for cosign.

    accepted: why a build from a checkout with uncommitted changes is signed. Raises ProvenanceError for a
    build that was not verified, differs from its manifest, or has uncommitted changes and no reason.
    """
    try:
        build = finished_build.read(folder)
        for disk in build.manifest.disks:
            finished_build.disk(build, disk.format)
        listed = PackageList.read(folder / packages.FILE, error=PublishError)
    except PublishError as e:
        raise ProvenanceError(f"will not sign: {e}", hint="sign a complete and verified build") from e
    if build.manifest.dirty and not accepted:
        raise ProvenanceError(
            f"will not sign: {build.id} was built from a checkout with uncommitted changes",
            hint='commit and build again, or give a reason: --accept-dirty "REASON"',
        )
    content = statement.make(
        build.manifest, listed, manifest_sha256=files.sha256_of(folder / manifest.FILE),
        builder=builder, accepted=accepted,
    )  # fmt: skip
    payload = json.dumps(content, sort_keys=True).encode()
    envelope = dsse.seal(payload, statement.KIND, private)
    bundle = dsse.bundle(envelope, private)
    (folder / BUNDLE).unlink(missing_ok=True)  # of an earlier signature
    files.write_atomically(folder / FILE, envelope)
    if bundle is not None:
        files.write_atomically(folder / BUNDLE, bundle)
    return folder / FILE
