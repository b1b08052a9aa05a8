# SPDX-License-Identifier: Apache-2.0
"""What a sealed disk may hold of secrets: nothing but what the image names, with a reason."""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import json
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.core import cache, paths, privilege, proc
from goldsmith.errors import CommandError
from goldsmith.scan import secret_scanner
from goldsmith.scan.secret_scanner import Finding

FILE = "secrets.json"
_CACHE = "secret-scan"
_SCAN = "scan.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """allowed: findings with the reason that the spec gives. error: why nothing was looked at."""

    findings: tuple[Finding, ...] = ()
    allowed: tuple[tuple[Finding, str], ...] = ()
    unread: tuple[str, ...] = ()
    error: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The content of secrets.json."""
        return {
            "schema": "goldsmith.secrets", "version": 1, "rules": secret_scanner.rules_version(),
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
            "allowed": [{**dataclasses.asdict(found), "reason": why} for found, why in self.allowed],
            "unread": list(self.unread), "error": self.error,
        }  # fmt: skip


def look(
    root: Path, *, allow: Iterable[Mapping[str, str]], scratch: Path, log_path: Path, timeout_s: float
) -> Report:
    """Scan the root file system at root; layers of containers that were scanned before are not again.

    allow: path (a pattern, fnmatch(3)) and reason of each entry of verify.allow-secrets.
    """
    known, out = scratch / "secrets-known", scratch / FILE
    _lay_out(known)
    argv: tuple[proc.Arg, ...] = (
        sys.executable,
        "-B",
        "-P",
        "-m",
        "goldsmith.scan.secret_scanner",
        root,
        known,
        out,
    )
    try:
        proc.run(privilege.as_root(argv), log_path=log_path, timeout_s=timeout_s)
    except CommandError as e:
        return Report(error=e.tail[-1] if e.tail else str(e))
    scans = json.loads(out.read_text())
    _keep(scans)
    return judge(scans, allow)


def judge(scans: Mapping[str, Mapping[str, Any]], allow: Iterable[Mapping[str, str]]) -> Report:
    """Part what is allowed from what is not.

    scans: digest of a layer, or empty for the disk -> Scan.as_dict().
    """
    entries = list(allow)
    found = [Finding(**finding) for scan in scans.values() for finding in scan["findings"]]
    reasons = {finding: _reason(finding, entries) for finding in found}
    return Report(
        findings=tuple(finding for finding in found if reasons[finding] is None),
        allowed=tuple((finding, why) for finding, why in reasons.items() if why is not None),
        unread=tuple(f"{digest} {path}".strip() for digest, scan in scans.items() for path in scan["unread"]),
    )


def _lay_out(folder: Path) -> None:
    """Put what these rules have found in layers where the scan looks for it: HEX-DIGEST.json."""
    folder.mkdir()
    begin = f"{secret_scanner.rules_version()}-"
    for entry in (paths.cache_root() / _CACHE).glob(f"{begin}*"):
        if cache.is_intact(entry):
            shutil.copyfile(entry / _SCAN, folder / f"{entry.name.removeprefix(begin)}.json")


def _keep(scans: Mapping[str, Mapping[str, Any]]) -> None:
    for digest in _layers(scans):
        text = json.dumps(scans[digest])
        cache.cached(
            _CACHE, f"{secret_scanner.rules_version()}-{digest.removeprefix('sha256:')}",
            functools.partial(_write, text=text),
        )  # fmt: skip


def _write(folder: Path, *, text: str) -> None:
    (folder / _SCAN).write_text(text)


def _layers(scans: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is kept: not the disk, and nothing that could not be read, which may go better next time."""
    return [d for d, scan in scans.items() if d and all(found["path"] for found in scan["findings"])]


def _reason(finding: Finding, allow: Iterable[Mapping[str, str]]) -> str | None:
    return next((e["reason"] for e in allow if fnmatch.fnmatchcase(f"/{finding.path}", e["path"])), None)
