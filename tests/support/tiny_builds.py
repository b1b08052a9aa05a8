# SPDX-License-Identifier: Apache-2.0
"""Build the tiny image in separate folders."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from goldsmith.core import paths
from tests.support.builds import SPEC, Place

_NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """Exit code and output of a task."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TinyPlace(Place):
    """A Place that runs tasks to their end."""

    def inv(
        self,
        *words: str | Path,
        behind: tuple[str, ...] = (),
        checkout: Path | None = None,
        env: Mapping[str, str] = _NOTHING,
    ) -> Outcome:
        """Run `invoke WORDS`. behind: a command to prefix. checkout: another one than this."""
        ended = subprocess.run(
            [*behind, sys.executable, "-B", "-m", "invoke", *[os.fspath(word) for word in words]],
            cwd=checkout or paths.project_root(), env={**self.environment(), **env},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip
        return Outcome(status=ended.returncode, stdout=ended.stdout, stderr=ended.stderr)

    def build(self, *words: str, fault: str = "", behind: tuple[str, ...] = ()) -> Outcome:
        """Build the tiny image in any case. fault: see the README of the element tiny-os."""
        return self.inv("build-image", SPEC, "--force", *faulty(fault), *words, behind=behind)

    def builds(self, name: str = "tiny") -> list[Path]:
        """Build folders, the newest last."""
        return sorted((self.out / name).glob("2*"))

    def latest(self) -> str | None:
        """Name of the build that `latest` points to."""
        latest = self.out / "tiny" / "latest"
        return latest.readlink().name if latest.is_symlink() else None


def faulty(fault: str) -> tuple[str, ...]:
    """Arguments of build-image that cause a fault."""
    return ("--var", f"fault={fault}") if fault else ()
