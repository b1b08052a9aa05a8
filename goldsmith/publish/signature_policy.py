# SPDX-License-Identifier: Apache-2.0
"""Require a release to be signed by the key that the command line or the spec names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from goldsmith.core import paths, progress
from goldsmith.errors import SpecError
from goldsmith.provenance import release_check
from goldsmith.spec.model import PublishSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class SignaturePolicy:
    """signed_by: a PEM file with a public key. accepted: the reason why no signature is required."""

    signed_by: Path | None = None
    accepted: str = ""

    def require(self, folder: Path) -> None:
        """Raise ProvenanceError unless the build in folder is signed as it has to be."""
        if self.signed_by is None:
            progress.note(f"publishing without a signature: {self.accepted}")
            return
        release_check.require(folder, self.signed_by, otherwise="published")


def choose(rules: PublishSpec, signed_by: Path | None, accepted: str) -> SignaturePolicy:
    """The rule of the command line, else of the spec. Raises SpecError where neither has one."""
    if (signed_by and accepted) or (rules.signed_by and rules.accept_unsigned):
        raise SpecError("signed-by and accept-unsigned exclude each other", hint="give one of the two")
    if signed_by or accepted:
        return SignaturePolicy(signed_by=signed_by, accepted=accepted)
    if rules.signed_by:
        return SignaturePolicy(signed_by=paths.project_root() / rules.signed_by)
    if rules.accept_unsigned:
        return SignaturePolicy(accepted=rules.accept_unsigned)
    raise SpecError(
        "the spec names no key that must have signed the release",
        hint="add --signed-by release.pub, or publish.signed-by to the spec; see docs/provenance.md",
    )
