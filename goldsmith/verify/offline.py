# SPDX-License-Identifier: Apache-2.0
"""Inspect an offline image: how it describes itself, its SBOM, and secrets in it."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from goldsmith.core import privilege, proc, progress
from goldsmith.errors import CommandError
from goldsmith.image.build_info import BuildInfo
from goldsmith.image.manifest import Manifest
from goldsmith.scan import sbom, secrets
from goldsmith.scan.sbom import SbomContents
from goldsmith.scan.secrets import SecretReport
from goldsmith.verify import expectations
from goldsmith.verify.expectations import Expectations
from goldsmith.verify.guest import user_of

_SBOM_DEADLINE_S = 120  # on a host with KVM; 2 s for 300 packages and three container images
_SCAN_DEADLINE_S = 240  # likewise; 13 s for the same


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspector:
    """Where an inspection writes, and how slow this host is. out: gets SBOM and secret report."""

    out: Path
    scratch: Path
    log_path: Path
    slowness: float

    def claims(self, root: Path, *, image_sha256: str, manifest: Manifest | None) -> Expectations:
        """What the image says of itself, whose root file system is mounted at root."""
        return expectations.of(
            expectations.claims_of(root), root, image_sha256=image_sha256, manifest=manifest,
            user=user_of(root), slowness=self.slowness,
        )  # fmt: skip

    def inspect(self, root: Path, claims: Expectations) -> Expectations:
        """What the suites expect of it: the claims, with the SBOM and the secrets that were found."""
        with progress.share("bill of materials"), progress.under_way("bill of materials"):
            listed = self._sbom(root)
        with progress.share("secret scan"), progress.under_way("secret scan"):
            found = self._secrets(root, claims.info)
        return dataclasses.replace(claims, sbom=listed, secrets=found)

    def _sbom(self, root: Path) -> SbomContents:
        """Write the SBOM. If that fails, the suites report the error as a finding."""
        target = self.scratch / sbom.FILE
        argv: tuple[proc.Arg, ...] = (sys.executable, "-B", "-P", "-m", "goldsmith.scan.sbom", root, target)
        deadline_s = _SBOM_DEADLINE_S * self.slowness
        try:
            proc.run(
                privilege.as_root(argv), log_path=self.log_path, timeout_s=deadline_s, on_line=progress.live
            )
        except CommandError as e:
            why = e.tail[-1] if e.tail else str(e)
            return SbomContents(packages=(), containers={}, kubelet_sha256=None, error=why)
        shutil.copyfile(target, self.out / sbom.FILE)
        return sbom.read(target)

    def _secrets(self, root: Path, info: BuildInfo) -> SecretReport:
        """Write the secret report; the suites turn what it lists into findings."""
        report = secrets.look(
            root, allow=info.verify.allow_secrets, scratch=self.scratch, log_path=self.log_path,
            timeout_s=_SCAN_DEADLINE_S * self.slowness,
        )  # fmt: skip
        report.write(self.out / secrets.FILE)
        return report
