# SPDX-License-Identifier: Apache-2.0
"""Whose signature a release has to have before it is published."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from goldsmith.core import paths, progress
from goldsmith.errors import SpecError
from goldsmith.provenance import release_check
from goldsmith.spec.model import PublishSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Trust:
    """signed_by: a PEM file with a public key. accepted: the reason why no signature is asked for."""

    signed_by: Path | None = None
    accepted: str = ""

    def require(self, folder: Path) -> None:
        """Raise ProvenanceError unless the build in folder is signed as it has to be."""
        if self.signed_by is None:
            progress.note(f"publishing without a signature: {self.accepted}")
            return
        release_check.require(folder, self.signed_by, otherwise="published")


def choose(rules: PublishSpec, signed_by: Path | None, accepted: str) -> Trust:
    """What the command line says, else what the spec does. Raises SpecError where neither says anything."""
    if (signed_by and accepted) or (rules.signed_by and rules.accept_unsigned):
        raise SpecError("a release is signed by somebody, or accepted unsigned", hint="give one of the two")
    if signed_by or accepted:
        return Trust(signed_by=signed_by, accepted=accepted)
    if rules.signed_by:
        return Trust(signed_by=paths.project_root() / rules.signed_by)
    if rules.accept_unsigned:
        return Trust(accepted=rules.accept_unsigned)
    raise SpecError(
        "nothing says whose signature a release has to have",
        hint="add --signed-by release.pub, or publish.signed-by to the spec; see docs/provenance.md",
    )
