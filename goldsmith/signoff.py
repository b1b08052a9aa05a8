# SPDX-License-Identifier: Apache-2.0
"""What the task sign does: find the build, take the key, write what is signed beside the build."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith import attestation, buildrecord, imgsignature, signing, workspace
from goldsmith.errors import ProvenanceError, SpecError

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


def sign(
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
    folder = workspace.find_build(out, name, build)
    private = signing.private_key(key)
    disks = buildrecord.read(folder, error=ProvenanceError).manifest["disks"]
    properties = {
        disk["file"]: imgsignature.properties(folder / disk["file"], private, certificate)
        for disk in disks
        if certificate
    }
    if certificate:
        imgsignature.keep(folder, {disk["sha256"]: properties[disk["file"]] for disk in disks})
    statement = attestation.sign(folder, private, builder=who, accepted=accepted or None)
    return Signed(statement=statement, key=signing.key_id(private), properties=properties)
