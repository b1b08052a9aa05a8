# SPDX-License-Identifier: Apache-2.0
"""The programs of the host that a task needs: scripts/host-packages.tsv, read as scripts/inv reads it."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from goldsmith.core import proc
from goldsmith.core.paths import project_root
from goldsmith.errors import CommandError, HostError
from goldsmith.spec.model import Arch

_COLUMNS = {"debian": 2, "ubuntu": 3, "fedora": 4}
_VERSION = re.compile(r"\d+(?:\.\d+)+")
_ASKED_OTHERWISE = {"go": "version", "kpartx": None, "ssh": None, "ssh-keygen": None, "mkfs.ext4": None}


def host_arch() -> Arch | None:
    """What this machine is; None for one that no image is made for."""
    return next((arch for arch in Arch if arch.machine == platform.machine()), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tool:
    """probe: a command, or a file where it begins with a slash; any of alternatives serves as well."""

    probe: str
    alternatives: tuple[str, ...]
    packages: str | None  # as this distribution calls them; None: not known

    def path(self) -> Path | None:
        """Where it is on this host."""
        for candidate in (self.probe, *self.alternatives):
            if candidate.startswith("/"):
                found = next(Path("/").glob(candidate[1:]), None)
            else:
                found = proc.which(candidate)
            if found is not None:
                return found
        return None

    def version(self) -> str | None:
        """What it calls itself; None where it does not say."""
        path = self.path()
        flag = _ASKED_OTHERWISE.get(self.probe, "--version")
        if path is None or flag is None or self.probe.startswith("/"):
            return None
        try:
            said = _VERSION.search(proc.capture([path, flag], timeout_s=10))
        except (CommandError, HostError, OSError):
            return None
        return said[0] if said else None


def for_needs(needs: Iterable[str]) -> list[Tool]:
    """The tools of all rows that serve one of needs; probes of another kind (@python) are left out."""
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
    table = project_root() / "scripts" / "host-packages.tsv"
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
