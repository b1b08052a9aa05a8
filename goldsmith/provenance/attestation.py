# SPDX-License-Identifier: Apache-2.0
"""What the task sign does: find the build, take the key, write what is signed beside the build."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from goldsmith.core import builds, files
from goldsmith.errors import ProvenanceError, PublishError, SpecError
from goldsmith.image import finished_build, manifest, packages
from goldsmith.image.packages import PackageList
from goldsmith.provenance import dsse, glance_signature, statement

BUILDER = "GOLDSMITH_BUILDER"


@dataclass(frozen=True, kw_only=True, slots=True)
class Signed:
    """properties: by disk image, those for Glance; empty where none were asked for."""

    statement: Path
    key: str
    properties: Mapping[str, Mapping[str, str]]

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "statement": str(self.statement), "key": self.key,
            "properties": {name: dict(made) for name, made in self.properties.items()},
        }  # fmt: skip

    def as_text(self) -> str:
        """For a person."""
        lines = [f"signed by the key {self.key[:16]}: {self.statement}"]
        for disk, made in self.properties.items():
            lines += [f"{disk}:", *(f"  {name}={value}" for name, value in made.items())]
        return "\n".join(lines)


def sign_build(
    out: Path, name: str, build: str, key: Path | None, *, builder: str, accepted: str, certificate: str
) -> Signed:
    """Sign a build below out. Raises SpecError and ProvenanceError."""
    if key is None:
        raise SpecError(
            "nothing says what to sign with",
            hint="add --key release.key; make one: openssl genpkey -algorithm ed25519 -out release.key",
        )
    who = builder or os.environ.get(BUILDER, "")
    if ":" not in who:
        raise SpecError(
            "a signature has to say who built it, by a URI",
            hint=f"add --builder https://ci.example.org/nightly, or set {BUILDER}",
        )
    folder = builds.find_build(out, name, build)
    private = dsse.private_key(key)
    disks = finished_build.read(folder, error=ProvenanceError).manifest.disks
    properties = {
        disk.file: glance_signature.properties(folder / disk.file, private, certificate)
        for disk in disks
        if certificate
    }
    if certificate:
        glance_signature.keep(folder, {disk.sha256: properties[disk.file] for disk in disks})
    statement = sign(folder, private, builder=who, accepted=accepted or None)
    return Signed(statement=statement, key=dsse.key_id(private), properties=properties)


FILE = "provenance.intoto.json"


def sign(folder: Path, private: PrivateKeyTypes, *, builder: str, accepted: str | None = None) -> Path:
    """Write the signed statement over a verified build into its folder.

    accepted: why a build from a checkout with uncommitted changes is signed all the same.
    Raises ProvenanceError for one that was not verified, is not what its manifest says, or is dirty.
    """
    try:
        build = finished_build.read(folder)
        for disk in build.manifest.disks:
            finished_build.disk(build, disk.format)
        listed = PackageList.read(folder / packages.FILE, error=PublishError)
    except PublishError as e:
        raise ProvenanceError(f"will not sign: {e}", hint="sign a build that is whole and verified") from e
    if build.manifest.dirty and not accepted:
        raise ProvenanceError(
            f"will not sign: {build.id} was built from a checkout with uncommitted changes",
            hint='commit and build again, or say why it is right: --accept-dirty "REASON"',
        )
    said = statement.make(
        build.manifest, listed, manifest_sha256=files.sha256_of(folder / manifest.FILE),
        builder=builder, accepted=accepted,
    )  # fmt: skip
    payload = json.dumps(said, sort_keys=True).encode()
    target = folder / FILE
    files.write_atomically(target, dsse.seal(payload, statement.KIND, private))
    return target
