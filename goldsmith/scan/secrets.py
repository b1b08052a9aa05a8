# SPDX-License-Identifier: Apache-2.0
"""Scan an image for secrets and apply the spec's allow list."""

from __future__ import annotations

import fnmatch
import functools
import json
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from goldsmith.core import cache, paths, privilege, proc, progress
from goldsmith.core.documents import Document, about
from goldsmith.errors import CommandError, ProvenanceError
from goldsmith.image.build_info import AllowedSecretInfo
from goldsmith.scan import secret_scanner
from goldsmith.scan.secret_scanner import Finding, Scan

FILE = "secrets.json"
_CACHE = "secret-scan"
_SCAN = "scan.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class AllowedFinding(Finding):
    """A finding that the spec allows."""

    reason: Annotated[str, about("Why the spec allows it.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretReport(Document):
    """Everything in an image that looks like a secret."""

    SCHEMA: ClassVar[str] = "goldsmith.secrets"

    rules: Annotated[str, about("Version of the rules: findings of the same version can be compared.")]
    findings: Annotated[tuple[Finding, ...], about("Findings that the spec does not allow.")] = ()
    allowed: Annotated[tuple[AllowedFinding, ...], about("Findings that the spec allows.")] = ()
    unread: Annotated[
        tuple[str, ...], about("Files that are too large to be read: paths, after the layer's digest if any.")
    ] = ()
    error: Annotated[str, about("Why the image was not scanned; empty where it was.")] = ""


def look(
    root: Path, *, allow: Iterable[AllowedSecretInfo], scratch: Path, log_path: Path, timeout_s: float
) -> SecretReport:
    """Scan the root file system at root. Layers of containers that an earlier run scanned are not read again.

    allow: the entries of verify.allow-secrets.
    """
    known, out = scratch / "secrets-known", scratch / FILE
    _lay_out(known)
    program: tuple[proc.Arg, ...] = (sys.executable, "-B", "-P", "-m", "goldsmith.scan.secret_scanner")
    try:
        proc.run(
            privilege.as_root((*program, root, known, out)), log_path=log_path, timeout_s=timeout_s,
            on_line=progress.live,
        )  # fmt: skip
    except CommandError as e:
        return SecretReport(rules=secret_scanner.rules_version(), error=e.tail[-1] if e.tail else str(e))
    found = json.loads(out.read_text())
    scans = {digest: Scan.parse(scan, str(out), error=ProvenanceError) for digest, scan in found.items()}
    _keep(scans)
    return judge(scans, allow)


def judge(scans: Mapping[str, Scan], allow: Iterable[AllowedSecretInfo]) -> SecretReport:
    """Separate findings that are allowed from those that are not.

    scans: by digest of the layer, empty for the disk.
    """
    entries = list(allow)
    found = [finding for scan in scans.values() for finding in scan.findings]
    reasons = {finding: _reason(finding, entries) for finding in found}
    return SecretReport(
        rules=secret_scanner.rules_version(),
        findings=tuple(finding for finding in found if reasons[finding] is None),
        allowed=tuple(
            AllowedFinding(
                layer=finding.layer, path=finding.path, line=finding.line, rule=finding.rule, reason=reason
            )
            for finding, reason in reasons.items()
            if reason is not None
        ),
        unread=tuple(f"{digest} {path}".strip() for digest, scan in scans.items() for path in scan.unread),
    )


def in_text(text: str) -> bool:
    """Something in text has the form of a secret."""
    return any(secret_scanner.in_text(text))


def _lay_out(folder: Path) -> None:
    """Copy the cached scans of layers by these rules to where the scanner looks for them: HEX-DIGEST.json."""
    folder.mkdir()
    begin = f"{secret_scanner.rules_version()}-"
    for entry in (paths.cache_root() / _CACHE).glob(f"{begin}*"):
        if cache.is_intact(entry):
            shutil.copyfile(entry / _SCAN, folder / f"{entry.name.removeprefix(begin)}.json")


def _keep(scans: Mapping[str, Scan]) -> None:
    for digest in _layers(scans):
        cache.cached(
            _CACHE, f"{secret_scanner.rules_version()}-{digest.removeprefix('sha256:')}",
            functools.partial(_write, scan=scans[digest]),
        )  # fmt: skip


def _write(folder: Path, *, scan: Scan) -> None:
    scan.write(folder / _SCAN)


def _layers(scans: Mapping[str, Scan]) -> list[str]:
    """The layers to cache: not the disk, and no layer that could not be read, which may be readable later."""
    return [digest for digest, scan in scans.items() if digest and all(f.path for f in scan.findings)]


def _reason(finding: Finding, allow: Iterable[AllowedSecretInfo]) -> str | None:
    return next((each.reason for each in allow if fnmatch.fnmatchcase(f"/{finding.path}", each.path)), None)
