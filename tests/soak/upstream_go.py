# SPDX-License-Identifier: Apache-2.0
"""Compile programs of others from their Go modules."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from goldsmith.core import proc
from goldsmith.errors import HostError, ProvenanceError
from goldsmith.kubernetes import go_toolchain

_COMPILE_S = 7200.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """path: of the program in its module; sum: the module's h1."""

    module: str
    path: str
    version: str
    sum: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


COSIGN = Program(
    module="github.com/sigstore/cosign/v3", path="cmd/cosign", version="v3.1.3",
    sum="h1:001JQRI/PJ/5T+g/kJ1KTvKFbb322+fomc+pHDZ/6sg=",
)  # fmt: skip
OSV_SCANNER = Program(
    module="github.com/google/osv-scanner/v2", path="cmd/osv-scanner", version="v2.6.0",
    sum="h1:hqtNLANWaKcqOC6znJX8J/23PtzV82RX23oMS9/ab4I=",
)  # fmt: skip


def compiled(program: Program, folder: Path, log: Path) -> Path:
    """Compile a program into folder; its path.

    Go compares each module, and the newer Go that it may fetch, with the checksum database. Raises HostError
    where that is switched off or there is no Go, ProvenanceError for another module than the pinned one.
    """
    go = go_toolchain.any_go()
    env = go_toolchain.environment(go, {"GOBIN": str(folder), "GOTOOLCHAIN": "auto", "CGO_ENABLED": "0"})
    if env.get("GOSUMDB") == "off":
        raise HostError(
            "Go's checksum database is switched off: GOSUMDB is off", hint="run: go env -u GOSUMDB"
        )
    what = f"{program.module}/{program.path}@{program.version}"
    proc.run([go, "install", what], log_path=log, env=env, cwd=folder, timeout_s=_COMPILE_S)
    made = folder / program.name
    require_pinned(program, proc.capture([go, "version", "-m", made], env=env))
    return made


def require_pinned(program: Program, printed: str) -> None:
    """printed: by `go version -m`. Raises ProvenanceError for another module than the pinned one."""
    lines = [line.split() for line in printed.splitlines()]
    found = next((words[1:] for words in lines if words[:1] == ["mod"]), [])
    if found != [program.module, program.version, program.sum]:
        raise ProvenanceError(
            f"{program.name} was compiled from {' '.join(found) or 'no module'}, not from "
            f"{program.module} {program.version} {program.sum}"
        )
