# SPDX-License-Identifier: Apache-2.0
"""The host programs that a task needs, from scripts/host-packages.tsv, as scripts/inv reads it."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from goldsmith.core import paths, proc
from goldsmith.errors import CommandError, HostError
from goldsmith.spec.model import Arch

_COLUMNS = {"debian": 2, "ubuntu": 3, "fedora": 4}
_VERSION = re.compile(r"\d+(?:\.\d+)+")
_VERSION_OPTION = {"go": "version", "kpartx": None, "ssh": None, "ssh-keygen": None, "mkfs.ext4": None}


def host_arch() -> Arch | None:
    """The architecture of this host; None if goldsmith makes no images for it."""
    return next((arch for arch in Arch if arch.machine == platform.machine()), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tool:
    """probe: a command, or a file if it starts with a slash; each of alternatives works as well."""

    probe: str
    alternatives: tuple[str, ...]
    packages: str | None  # their names in this distribution; None: not known

    def path(self) -> Path | None:
        """Its path on this host."""
        for candidate in (self.probe, *self.alternatives):
            if candidate.startswith("/"):
                found = next(Path("/").glob(candidate[1:]), None)
            else:
                found = proc.which(candidate)
            if found is not None:
                return found
        return None

    def version(self) -> str | None:
        """The version that it prints; None if it prints none."""
        path = self.path()
        flag = _VERSION_OPTION.get(self.probe, "--version")
        if path is None or flag is None or self.probe.startswith("/"):
            return None
        try:
            found = _VERSION.search(proc.capture([path, flag], timeout_s=10))
        except (CommandError, HostError, OSError):
            return None
        return found[0] if found else None


def for_needs(needs: Iterable[str]) -> list[Tool]:
    """The tools of all rows for one of needs, without probes of another kind (@python)."""
    column = _column()
    wanted = set(needs)
    tools = [
        Tool(probe=first, alternatives=tuple(others), packages=_known(row[column]) if column else None)
        for row in _rows()
        if wanted.intersection(row[0].split())
        for probe in row[1].split()
        for first, *others in [probe.split("|")]
        if not first.startswith("@")
    ]
    assert tools, f"no tool is needed for {sorted(wanted)}"
    return tools


def _rows() -> Iterator[list[str]]:
    table = paths.shipped("scripts/host-packages.tsv")
    for line in table.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line.split("\t")


def _column() -> int | None:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return None
    names = (release.get("ID", ""), *release.get("ID_LIKE", "").split())
    return next((_COLUMNS[name] for name in names if name in _COLUMNS), None)


def _known(packages: str) -> str | None:
    return None if packages == "-" else packages
